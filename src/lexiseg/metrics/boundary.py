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
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = down**2 + right**2 <= reach**2
    uncertain = cv2.dilate((truth == ignore_index).astype(np.uint8), disc.astype(np.uint8)) > 0
    ours = np.where(_outline(pred) & ~uncertain, pred.astype(np.int32), -1)
    theirs = np.where(_outline(truth) & ~uncertain, truth.astype(np.int32), -1)
    steps = np.stack([down[disc], right[disc]], 1)
    steps = steps[np.argsort((steps**2).sum(1), kind="stable")]  # most are met in a step or two
    sides = []
    for one, other in ((ours, theirs), (theirs, ours)):
        labels, matched = _match(one, other, steps, reach)
        inside = (labels >= 0) & (labels < num_classes)
        labels, matched = labels[inside], matched[inside]
        sides += [np.bincount(part, minlength=num_classes) for part in (labels[matched], labels)]
    return np.stack(sides, 1).astype(np.int64)


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


def _match(
    one: NDArray[np.integer], other: NDArray[np.integer], steps: NDArray[np.intp], reach: int
) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
    """Return the labels (n,) of the outline pixels of `one`, and which match that label in `other`.

    Both are (H, W), the label on outlines and -1 elsewhere; `steps` (m, 2) are tried in order.
    """
    padded = np.pad(other, reach, constant_values=-1)
    rows, columns = np.nonzero(one >= 0)
    labels = one[rows, columns]
    place = (rows + reach) * padded.shape[1] + columns + reach
    matched = np.zeros(len(labels), np.bool_)
    left = np.arange(len(labels))
    for step in steps @ np.array([padded.shape[1], 1]):
        hit = padded.ravel()[place[left] + step] == labels[left]
        matched[left[hit]] = True
        left = left[~hit]
    return labels, matched


def _outline(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return the pixels with a 4-neighbour of another label, (H, W)."""
    out = np.zeros(labels.shape, np.bool_)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    out[1:] |= down
    out[:-1] |= down
    out[:, 1:] |= right
    out[:, :-1] |= right
    return out
