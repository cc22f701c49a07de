"""Boundary F1 of label maps: how well outlines lie on each other, whatever the areas do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoundaryScore", "boundary_counts"]

# The usual tolerance of the BF measure: a share of the picture's diagonal.
TOLERANCE = 0.0075


def boundary_counts(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    num_classes: int,
    ignore_index: int | None = 255,
    *,
    tolerance: float = TOLERANCE,
) -> NDArray[np.int64]:
    """Count outline pixels by class, (C, 4): predicted near a true one, predicted; true near a
    predicted one, true.

    An outline pixel of a class has a 4-neighbour of another class; the edge of the picture is no
    outline. Near is within `tolerance` times the picture's diagonal, at least one pixel. Outline
    pixels that close to an ignored pixel do not count on either side: where the truth ends in an
    ignored band, nobody knows where the outline is. `pred` and `truth` are (H, W).
    """
    import cv2

    height, width = truth.shape
    reach = max(1, round(tolerance * float(np.hypot(height, width))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    ignored = (truth == ignore_index).astype(np.uint8)
    sure = cv2.dilate(ignored, disc) == 0
    edges_pred, edges_true = _outline(pred) & sure, _outline(truth) & sure
    out = np.zeros((num_classes, 4), np.int64)
    for index in np.union1d(pred[edges_pred], truth[edges_true]):
        if not 0 <= index < num_classes:
            continue
        ours, theirs = edges_pred & (pred == index), edges_true & (truth == index)
        near_ours = cv2.dilate(ours.astype(np.uint8), disc) > 0
        near_theirs = cv2.dilate(theirs.astype(np.uint8), disc) > 0
        counted = ((ours & near_theirs), ours, (theirs & near_ours), theirs)
        out[index] = [np.count_nonzero(part) for part in counted]
    return out


class BoundaryScore:
    """Boundary counts summed over photos, (C, 4) int64 `total`, and the F1 that they give."""

    def __init__(self, num_classes: int, *, ignore_index: int | None = 255) -> None:
        self.ignore_index = ignore_index
        self.total = np.zeros((num_classes, 4), np.int64)

    def add(self, pred: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Count one photo: (H, W) predicted and true class indices."""
        self.total += boundary_counts(pred, truth, len(self.total), self.ignore_index)

    def f1(self) -> NDArray[np.float64]:
        """Return each class's boundary F1, (C,) in [0, 1]; NaN for a class without true outline."""
        hit_pred, all_pred, hit_true, all_true = self.total.T
        precision = hit_pred / np.maximum(all_pred, 1)
        recall = hit_true / np.maximum(all_true, 1)
        score = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        return np.where(all_true > 0, score, np.nan)


def _outline(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return the pixels with a 4-neighbour of another label, (H, W)."""
    out = np.zeros(labels.shape, np.bool_)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    out[1:] |= down
    out[:-1] |= down
    out[:, 1:] |= right
    out[:, :-1] |= right
    return out
