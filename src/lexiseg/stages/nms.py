"""Of boxes that lie on each other, the best alone stays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.stages.mask_selection import mask_nms

__all__ = ["box_iou", "box_nms", "nms"]


def nms(
    boxes_xyxy: NDArray[np.integer],
    scores: NDArray[np.floating],
    threshold: float,
    keep: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None = None,
    *,
    at_once: int = 1,
) -> NDArray[np.int64]:
    """Return the boxes that stay, (M,) numbers, best first, as SAM's automatic mask generator does.

    boxes_xyxy: (N, 4), half-open. A box goes where its IoU with a better one that stays is above
    ``threshold``; their sides are measured between first and last pixel, as the SAM code does it.
    keep: asked for boxes that would stay, by their numbers; one that is refused goes, and no other
    goes because of it: what is dear to find out is found out for few. at_once: how many are asked
    for together; of these, some may turn out to go anyway.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    x0, y0, x1, y1 = (boxes_xyxy[order] - [0, 0, 1, 1]).astype(np.float32).T
    area = (x1 - x0) * (y1 - y0)
    left = np.arange(len(order))
    good = np.ones(len(order), np.bool_)
    known = np.full(len(order), keep is None)
    kept = []
    while len(left):
        i = left[0]
        if keep is not None and not known[i]:
            asked = left[~known[left]][:at_once]
            good[asked], known[asked] = keep(order[asked]), True
        left = left[1:]
        if not good[i]:
            continue
        kept.append(i)
        wide = np.minimum(x1[i], x1[left]) - np.maximum(x0[i], x0[left])
        high = np.minimum(y1[i], y1[left]) - np.maximum(y0[i], y0[left])
        shared = wide.clip(0) * high.clip(0)
        either = area[i] + area[left] - shared
        # Lines of one pixel have no area in this measure: they never cover each other.
        left = left[~(shared.astype(np.float64) > threshold * either.astype(np.float64))]
    out: NDArray[np.int64] = order[np.array(kept, np.int64)]
    return out


def box_iou(boxes_xyxy: Tensor) -> Tensor:
    """Return the IoU of all pairs of boxes, (N, 4) -> (N, N) in [0, 1]; 0 for empty ones."""
    boxes = boxes_xyxy.float()
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inter = (high - low).clamp_min(0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(-1)
    union = area[:, None] + area[None] - inter
    return torch.where(union > 0, inter / union, 0.0)


def box_nms(
    boxes_xyxy: Tensor,
    class_id: NDArray[np.int64],
    score: NDArray[np.float32],
    threshold: float,
    top_k: int | None = None,
) -> NDArray[np.int64]:
    """Return which of N boxes stay, ascending: no duplicates of a class, and its best ``top_k``.

    Of a class's boxes with an IoU of at least ``threshold`` the better score stays.
    """
    iou = box_iou(boxes_xyxy).cpu().numpy()
    kept = mask_nms(iou, class_id, score, threshold)
    if top_k is None:
        return kept
    best = kept[np.lexsort((kept, -score[kept], class_id[kept]))]
    starts = np.searchsorted(class_id[best], class_id[best])  # where each class_id's begin
    out: NDArray[np.int64] = np.sort(best[np.arange(len(best)) - starts < top_k])
    return out
