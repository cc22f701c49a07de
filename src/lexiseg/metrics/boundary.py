"""Boundary F1 and boundary IoU of label maps: how well outlines lie on each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.metrics.class_scores import ratio

__all__ = [
    "BoundaryIoU",
    "BoundaryScore",
    "boundary_band",
    "boundary_counts",
    "boundary_iou_counts",
]

# The usual tolerance of the BF measure: a share of the picture's diagonal.
TOLERANCE = 0.0075
# The usual width of the band of boundary IoU: a share of the picture's diagonal.
BAND = 0.02


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


def boundary_band(mask: NDArray[np.bool_], *, width: float = BAND) -> NDArray[np.bool_]:
    """Return the pixels of a mask that lie within a distance of what is not it, (H, W).

    width: the distance as a share of the picture's diagonal, at least one pixel, by rows and
    columns, as in the reference code of boundary IoU. The picture's edge counts as outside.
    """
    import cv2

    height, wide = mask.shape
    reach = max(1, round(width * float(np.hypot(height, wide))))
    x0, y0, across, down = cv2.boundingRect(mask.astype(np.uint8))
    out = np.zeros_like(mask)
    if across == 0:
        return out
    inside = mask[y0 : y0 + down, x0 : x0 + across]  # around it there is nothing of the mask
    padded = np.pad(inside.astype(np.uint8), reach)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    eroded = cv2.erode(padded, kernel)[reach : reach + down, reach : reach + across]
    out[y0 : y0 + down, x0 : x0 + across] = inside & (eroded == 0)
    return out


def boundary_iou_counts(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    num_classes: int,
    ignore_index: int | None = 255,
    *,
    width: float = BAND,
) -> NDArray[np.int64]:
    """Count, by class, (C, 2), the pixels that both boundary bands share and that either has.

    Boundary IoU (Cheng et al., CVPR 2021) by class: bands are those of `boundary_band`. Ignored
    pixels belong to no class on either side. `pred` and `truth` are (H, W); predicted values that
    are no class of the truth have no band.
    """
    counted = np.ones(truth.shape, np.bool_) if ignore_index is None else truth != ignore_index
    ours, theirs = np.where(counted, pred, -1), np.where(counted, truth, -1)
    counts = np.zeros((num_classes, 2), np.int64)
    for index in np.union1d(ours, theirs).tolist():
        if 0 <= index < num_classes:
            one = boundary_band(ours == index, width=width)
            other = boundary_band(theirs == index, width=width)
            counts[index] = np.count_nonzero(one & other), np.count_nonzero(one | other)
    return counts


class BoundaryIoU:
    """Counts of boundary bands summed over photos, (C, 2) int64 `total`, and the IoU they give."""

    def __init__(self, num_classes: int, *, ignore_index: int | None = 255) -> None:
        self.ignore_index = ignore_index
        self.total = np.zeros((num_classes, 2), np.int64)

    def add(self, pred: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Count one photo: (H, W) predicted and true class indices."""
        self.total += boundary_iou_counts(pred, truth, len(self.total), self.ignore_index)

    def iou(self) -> NDArray[np.float64]:
        """Return each class's boundary IoU, (C,) in [0, 1]; NaN where neither side has a band."""
        return ratio(self.total[:, 0], self.total[:, 1])


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
