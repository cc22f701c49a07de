"""Things that were found one by one, each with a mask, a word and a score, brought together."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.stages.merge import without_duplicates

__all__ = ["box_iou", "nearest", "on_top", "the_best", "without_double_boxes"]

_SAME = 0.5  # from this IoU on, two masks are taken for the same thing


def box_iou(boxes_xyxy: Tensor) -> Tensor:
    """Return the IoU of all pairs of boxes, (N, 4) -> (N, N) in [0, 1]; 0 for empty ones."""
    boxes = boxes_xyxy.float()
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inter = (high - low).clamp_min(0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(-1)
    union = area[:, None] + area[None] - inter
    return torch.where(union > 0, inter / union, 0.0)


def without_double_boxes(
    boxes_xyxy: Tensor,
    owner: NDArray[np.int64],
    score: NDArray[np.float32],
    threshold: float,
    top_k: int | None = None,
) -> NDArray[np.int64]:
    """Return which of N boxes stay, ascending: no duplicates of an owner, and its best ``top_k``.

    Of an owner's boxes with an IoU of at least ``threshold`` the better score stays.
    """
    iou = box_iou(boxes_xyxy).cpu().numpy()
    kept = without_duplicates(iou, owner, score, threshold)
    if top_k is None:
        return kept
    best = kept[np.lexsort((kept, -score[kept], owner[kept]))]
    starts = np.searchsorted(owner[best], owner[best])  # where each owner's begin
    out: NDArray[np.int64] = np.sort(best[np.arange(len(best)) - starts < top_k])
    return out


def the_best(
    masks: Masks, owner: NDArray[np.int64], score: NDArray[np.float32], threshold: float
) -> NDArray[np.int64]:
    """Return which of N masks stay, ascending: of two that are one thing the better score.

    Two masks are one where their IoU is at least ``threshold``, whatever their words.
    """
    return without_duplicates(masks.iou(masks), np.zeros_like(owner), score, threshold)


def on_top(
    masks: Masks,
    score: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    excluded: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return the order of painting, (N,): the score, and 1 more for what is excluded.

    A helmet lies on the person who wears it, though "person" scores better. But where something
    that is wanted scores better for the same thing, what is excluded keeps its score.
    """
    rank = score.astype(np.float32)
    mine, theirs = np.flatnonzero(excluded), np.flatnonzero(wanted)
    if not len(mine):
        return rank
    same = masks[mine].iou(masks[theirs]) >= _SAME
    lost = (same & (score[theirs][None] > score[mine][:, None])).any(1)
    rank[mine] += ~lost
    return rank


def nearest(top: NDArray[np.int16] | NDArray[np.int32]) -> None:
    """Fill what is below 0 in a map (H, W) with the value of the nearest pixel, in place.

    A map without any value stays as it is. Distances are OpenCV's 5x5 approximation of Euclid's.
    """
    import cv2

    empty = top < 0
    if not empty.any() or empty.all():
        return
    _, label = cv2.distanceTransformWithLabels(
        empty.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.empty(int(label.max()) + 1, top.dtype)
    values[label[~empty]] = top[~empty]
    top[empty] = values[label[empty]]
