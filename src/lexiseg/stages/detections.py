"""Things that were found one by one, each with a mask, a word and a score, brought together."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.stages.merge import mask_nms

__all__ = ["best_masks", "box_iou", "box_nms", "fill_nearest", "paint_order"]

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


def best_masks(
    masks: Masks, class_id: NDArray[np.int64], score: NDArray[np.float32], threshold: float
) -> NDArray[np.int64]:
    """Return which of N masks stay, ascending: of two that are one thing the better score.

    Two masks are one where their IoU is at least ``threshold``, whatever their words.
    """
    return mask_nms(masks.iou(masks), np.zeros_like(class_id), score, threshold)


def paint_order(
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


def fill_nearest(
    top: NDArray[np.int16] | NDArray[np.int32],
) -> NDArray[np.int16] | NDArray[np.int32]:
    """Return a map (H, W) in which what is below 0 has the value of the nearest pixel.

    A map without any value stays as it is. Distances are OpenCV's 5x5 approximation of Euclid's.
    """
    import cv2

    empty = top < 0
    if not empty.any() or empty.all():
        return top
    _, label = cv2.distanceTransformWithLabels(
        empty.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.empty(int(label.max()) + 1, top.dtype)
    values[label[~empty]] = top[~empty]
    return np.where(empty, values[label], top)
