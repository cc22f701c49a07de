"""Masks painted into a label map, in the order of their scores; gaps filled from the nearest pixel.

No function changes its arguments.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks

__all__ = ["fill_nearest", "paint", "paint_order"]

_SAME = 0.5  # from this IoU on, two masks are taken for the same thing


def paint(
    labels: NDArray[np.int16] | NDArray[np.int32],
    masks: Masks,
    values: NDArray[np.integer],
    rank: NDArray[np.floating],
) -> NDArray[np.int16] | NDArray[np.int32]:
    """Return a label map with the value of each mask, (N,), written into its pixels.

    Where masks overlap, the highest ``rank`` (N,) has the pixel (ties: the earlier mask).
    """
    labels = labels.copy()
    boxes = masks.boxes_xyxy.tolist()
    for i in np.argsort(-rank, kind="stable")[::-1].tolist():
        x0, y0, x1, y1 = boxes[i]
        labels[y0:y1, x0:x1][masks.crop(i)] = values[i]
    return labels


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
