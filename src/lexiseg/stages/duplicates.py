"""Duplicates suppressed: boxes and masks of one thing, and masks that are parts of others."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks

__all__ = ["best_masks", "box_iou", "box_nms", "mask_nms", "without_nested"]

# A mask made of several things: so much better rated masks cover so much of it.
_BETTER, _COVERED = 1.25, 0.5


def mask_nms(
    iou: NDArray[np.floating],
    words: NDArray[np.int64],
    rank: NDArray[np.floating],
    threshold: float,
) -> NDArray[np.int64]:
    """Return which of N masks are no duplicates, in ascending order.

    iou: (N, N). From the highest ``rank`` (N,) to the lowest (ties: the earlier first), a mask is
    kept unless it has an IoU of at least ``threshold`` with one kept before of the same word.
    """
    rivals = (iou >= threshold) & (words[:, None] == words[None])
    alive = np.ones(len(words), np.bool_)
    for i in np.argsort(-rank, kind="stable").tolist():
        if alive[i]:
            alive &= ~rivals[i]
            alive[i] = True
    return np.flatnonzero(alive)


def best_masks(
    masks: Masks, class_id: NDArray[np.int64], score: NDArray[np.float32], threshold: float
) -> NDArray[np.int64]:
    """Return which of N masks stay, ascending: of two that are one thing the better score.

    Two masks are one where their IoU is at least ``threshold``, whatever their words.
    """
    return mask_nms(masks.iou(masks), np.zeros_like(class_id), score, threshold)


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


def without_nested(
    masks: Masks,
    iou: NDArray[np.floating],
    word: NDArray[np.int64],
    rank: NDArray[np.floating],
    share: float,
) -> NDArray[np.int64]:
    """Return the masks that stay, (M,) numbers in order.

    iou: (N, N). word, rank: (N,). Of each word the largest mask comes first: the smaller ones of
    which at least ``share`` lies in it are its parts. It goes where much better ranked parts cover
    half of it; otherwise they go.
    """
    areas = masks.areas.astype(np.float64)
    common = iou / (1 + iou) * (areas[:, None] + areas)
    inside = (common >= share * areas) & (word[:, None] == word)  # [whole, part]
    left = np.ones(len(masks), np.bool_)
    order = np.argsort(-areas, kind="stable")
    for i, whole in enumerate(order.tolist()):
        if not left[whole]:
            continue
        later = order[i + 1 :]
        parts = later[inside[whole, later] & left[later]]
        better = parts[rank[parts] > _BETTER * rank[whole]]
        if len(better) and common[whole, better].sum() >= _COVERED * areas[whole]:
            covered = masks[better].union() & masks.mask(whole)
            if covered.sum() >= _COVERED * areas[whole]:
                left[whole] = False
                continue
        left[parts] = False
    return np.flatnonzero(left)
