"""Scores by class, and over classes, of a confusion matrix.

Definitions are mmsegmentation's (``IoUMetric``) where it has them: accuracy of a class is its
recall, and what does not exist is NaN and in no mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Averages",
    "BaseNovel",
    "ClassScores",
    "base_novel",
    "class_scores",
    "frequency_weighted_iou",
    "pooled",
    "ratio",
]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Averages:
    """Precision, recall and F1 over several classes, in [0, 1]; NaN where they do not exist."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Scores of each class, (C,) in [0, 1], NaN where there is nothing to divide by.

    iou and f1 exist where a class was there or predicted, precision where it was predicted, recall
    (the class accuracy) where it was there.
    """

    iou: Floats
    precision: Floats
    recall: Floats
    f1: Floats

    def macro(self, classes: Sequence[int] | NDArray[np.intp] | None = None) -> Averages:
        """Return the means over classes (None: all), each over those that have the score."""
        chosen = slice(None) if classes is None else np.asarray(classes, np.intp)
        return Averages(*(_mean(one[chosen]) for one in (self.precision, self.recall, self.f1)))

    @property
    def mean_accuracy(self) -> float:
        """The mean recall of the classes that were there: mmsegmentation's mAcc."""
        return _mean(self.recall)

    @property
    def mean_iou(self) -> float:
        """The mean IoU of the classes that were there or predicted: mmsegmentation's mIoU."""
        return _mean(self.iou)


@dataclass(frozen=True)
class BaseNovel:
    """Means over base classes, over novel ones, and their harmonic mean; NaN where there is none.

    base_classes, novel_classes: how many classes have a value.
    """

    base: float
    novel: float
    harmonic: float
    base_classes: int
    novel_classes: int


def class_scores(total: Counts) -> ClassScores:
    """Return the scores of a confusion matrix, (C, P) counts, true class by predicted class.

    Predicted indices from C on are things that the truth does not name; pixels given to them are
    missed and no class's false alarms.
    """
    classes = len(total)
    hit, there = total.diagonal(), total.sum(1)
    given = total[:, :classes].sum(0)
    return ClassScores(
        iou=ratio(hit, there + given - hit),
        precision=ratio(hit, given),
        recall=ratio(hit, there),
        f1=ratio(2 * hit, there + given),
    )


def pooled(total: Counts) -> Averages:
    """Return precision, recall and F1 of all classes' pixels together ("micro").

    total: (C, P) counts. Where every pixel gets one of the C classes all three are the pixel
    accuracy.
    """
    hit, there = int(total.diagonal().sum()), int(total.sum())
    given = int(total[:, : len(total)].sum())
    parts = ((hit, given), (hit, there), (2 * hit, there + given))
    return Averages(*(part / whole if whole else float("nan") for part, whole in parts))


def frequency_weighted_iou(total: Counts) -> float:
    """Return the mean IoU weighted by the classes' true areas (Long et al. 2015), in [0, 1].

    total: (C, P) counts. NaN where no pixel counts.
    """
    there = total.sum(1)
    if not there.sum():
        return float("nan")
    iou = np.where(there > 0, class_scores(total).iou, 0)
    return float((there * iou).sum() / there.sum())


def base_novel(values: Floats, base: Sequence[int], novel: Sequence[int]) -> BaseNovel:
    """Return the means of values by class, (C,), over two groups of class indices."""
    groups = [np.asarray(values)[list(group)] for group in (base, novel)]
    one, other = (_mean(group) for group in groups)
    harmonic = 2 * one * other / (one + other) if one + other > 0 else one + other
    counts = (int(np.isfinite(group).sum()) for group in groups)
    return BaseNovel(one, other, harmonic, *counts)


def ratio(part: Counts, whole: Counts) -> Floats:
    """Divide counts; NaN where there is nothing to divide by."""
    out: Floats = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=out, where=np.asarray(whole) > 0)
    return out


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
