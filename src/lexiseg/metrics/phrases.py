"""Scores of one mask a phrase, as PhraseCut's own evaluator computes them.

They are not CLIPSeg's (``lexiseg.metrics.fixed_interval``), which squashes photos and truth to
352 x 352 pixels, adds one to every denominator and sweeps a threshold: the two never compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import InputError

__all__ = ["PhraseCutMetrics", "PhraseCutScores"]

ACCURACY_AT = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class PhraseCutScores:
    """What PhraseCut's evaluator prints, in [0, 1]; NaN without phrases.

    mean_iou: the plain mean over phrases. cumulative_iou: summed intersections over summed unions.
    accuracy: the shares of phrases whose IoU is above 0.5, 0.6, ... 0.9. phrases: how many were
    evaluated. overall_iou: mean_iou where every phrase that was not evaluated counts 0.
    """

    mean_iou: float
    cumulative_iou: float
    accuracy: tuple[float, ...]
    phrases: int
    overall_iou: float


class PhraseCutMetrics:
    """Add masks at the photo's own size, then ``compute``."""

    def __init__(self) -> None:
        self._counts: list[tuple[int, int]] = []

    def add(self, pred: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
        """Add the mask found for a phrase and the union of its true masks, (H, W)."""
        if pred.shape != truth.shape:
            raise InputError(
                f"the mask is {pred.shape} and the truth {truth.shape}; give both at the photo's "
                "own size"
            )
        shared, either = np.count_nonzero(pred & truth), np.count_nonzero(pred | truth)
        self.add_counts(int(shared), int(either))

    def add_counts(self, shared: int, either: int) -> None:
        """Add a phrase by the pixels that its mask and the truth share, and that either has."""
        self._counts.append((shared, either))

    def compute(self, total: int | None = None) -> PhraseCutScores:
        """Return the scores; total: how many phrases the split has, those left out included."""
        count = len(self._counts)
        if not count:
            nan = float("nan")
            return PhraseCutScores(nan, nan, (nan,) * len(ACCURACY_AT), 0, nan)
        shared, either = np.array(self._counts, np.int64).T
        # Nothing found where nothing is scores 0 there, too.
        iou = shared / np.maximum(either, 1)
        mean = float(iou.mean())
        return PhraseCutScores(
            mean,
            float(shared.sum() / either.sum()) if either.sum() else float("nan"),
            tuple(float((iou > limit).mean()) for limit in ACCURACY_AT),
            count,
            mean * count / max(count, total or count),
        )
