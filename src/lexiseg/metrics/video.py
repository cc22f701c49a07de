"""J and F of objects in video: region overlap and outline accuracy (Perazzi et al., CVPR 2016).

As DAVIS 2017's evaluation computes them: outlines may be apart by 0.8 % of the picture's diagonal,
and where neither mask has a pixel both scores are 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import InputError

__all__ = ["VideoMetrics", "VideoScores", "contour_accuracy", "region_similarity"]

TOLERANCE = 0.008  # of the picture's diagonal
_RECALL_AT = 0.5
_PARTS = 4  # of a video, for the decay

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class VideoScores:
    """Means over objects, in [0, 1]; decays in [-1, 1]; NaN without objects.

    mean: of an object's frames. recall: the share of its frames above 0.5. decay: the first
    quarter's mean less the last one's. j_and_f: the mean of j_mean and f_mean.
    """

    j_and_f: float
    j_mean: float
    j_recall: float
    j_decay: float
    f_mean: float
    f_recall: float
    f_decay: float
    objects: int


class VideoMetrics:
    """Add objects, then ``compute``."""

    def __init__(self) -> None:
        self._scores: list[tuple[list[float], list[float]]] = []

    def add(
        self, pred: Sequence[Mask], truth: Sequence[Mask], void: Sequence[Mask] | None = None
    ) -> None:
        """Add the masks of one object in one video, frame by frame, (H, W) each.

        DAVIS leaves out the first frame, whose mask is given, and the last. void: pixels that do
        not count.
        """
        if len(pred) != len(truth) or not len(truth):
            raise InputError(f"{len(pred)} masks for {len(truth)} frames; give one a frame")
        places = list(void) if void is not None else [None] * len(truth)
        frames = list(zip(pred, truth, places, strict=True))
        self._scores.append(
            (
                [region_similarity(*frame) for frame in frames],
                [contour_accuracy(*frame) for frame in frames],
            )
        )

    def compute(self) -> VideoScores:
        """Return the means over all objects."""
        if not self._scores:
            nan = float("nan")
            return VideoScores(nan, nan, nan, nan, nan, nan, nan, 0)
        each = np.array([[*_statistics(j), *_statistics(f)] for j, f in self._scores])
        j_mean, j_recall, j_decay, f_mean, f_recall, f_decay = each.mean(0).tolist()
        both = (j_mean + f_mean) / 2
        return VideoScores(both, j_mean, j_recall, j_decay, f_mean, f_recall, f_decay, len(each))


def region_similarity(pred: Mask, truth: Mask, void: Mask | None = None) -> float:
    """Return J, the IoU of two masks (H, W); 1 where both are empty."""
    _check(pred, truth)
    if void is not None:
        pred, truth = pred & ~void, truth & ~void
    either = np.count_nonzero(pred | truth)
    return np.count_nonzero(pred & truth) / either if either else 1.0


def contour_accuracy(
    pred: Mask, truth: Mask, void: Mask | None = None, *, tolerance: float = TOLERANCE
) -> float:
    """Return F, the F1 of two masks' outlines (H, W); 1 where neither has one."""
    import cv2

    _check(pred, truth)
    if void is not None:
        pred, truth = pred & ~void, truth & ~void
    reach = int(np.ceil(tolerance * np.hypot(*truth.shape)))
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (down**2 + right**2 <= reach**2).astype(np.uint8)
    ours, theirs = _contour(pred), _contour(truth)
    num_ours, num_theirs = np.count_nonzero(ours), np.count_nonzero(theirs)
    if not num_ours or not num_theirs:
        return float(num_ours == num_theirs)
    near_ours, near_theirs = (cv2.dilate(one.astype(np.uint8), disc) > 0 for one in (ours, theirs))
    precision = np.count_nonzero(ours & near_theirs) / num_ours
    recall = np.count_nonzero(theirs & near_ours) / num_theirs
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _contour(mask: Mask) -> Mask:
    """The pixels that differ from their neighbour on the right, below, or both, (H, W)."""
    beyond = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, across = beyond[:-1, 1:], beyond[1:, :-1], beyond[1:, 1:]
    out: Mask = (mask != right) | (mask != below) | (mask != across)
    return out


def _statistics(values: Sequence[float]) -> tuple[float, float, float]:
    """An object's mean, recall and decay."""
    scores = np.array(values)
    ends = np.round(np.linspace(1, len(scores), _PARTS + 1) + 1e-10).astype(np.intp) - 1
    first, last = scores[ends[0] : ends[1] + 1], scores[ends[-2] : ends[-1] + 1]
    return (
        float(scores.mean()),
        float((scores > _RECALL_AT).mean()),
        float(first.mean() - last.mean()),
    )


def _check(pred: Mask, truth: Mask) -> None:
    if pred.shape != truth.shape:
        raise InputError(f"masks of {pred.shape} and {truth.shape} pixels; give one size")
