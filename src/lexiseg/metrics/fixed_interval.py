"""CLIPSeg's validation metrics: overlaps at 49 fixed thresholds, and average precision.

As in the authors' code (Lüddecke and Ecker, CVPR 2022): intersections and unions are summed over
all samples before they are divided, one is added to every denominator, and average precision is
the integral of the pooled precision over recall by Simpson's rule.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FixedIntervalMetrics", "FixedIntervalScores", "mean_scores_of", "threshold_counts"]

THRESHOLDS = np.linspace(0, 1, 51)[1:-1]


@dataclass(frozen=True, eq=False)
class FixedIntervalScores:
    """fg_iou, bin_iou, mean_iou: by threshold, 0.02 to 0.98; mean_iou over categories.

    fg_iou: of the foreground over all samples. bin_iou: the mean of that and the background's. ap:
    average precision.
    """

    ap: float
    fg_iou: tuple[float, ...]
    bin_iou: tuple[float, ...]
    mean_iou: tuple[float, ...]

    def fg_iou_at(self, threshold: float) -> float:
        return self.fg_iou[_place(threshold)]

    def bin_iou_at(self, threshold: float) -> float:
        return self.bin_iou[_place(threshold)]

    def mean_iou_at(self, threshold: float) -> float:
        return self.mean_iou[_place(threshold)]

    @property
    def best_mean_iou(self) -> tuple[float, float]:
        """The largest mean_iou, and the threshold that gives it."""
        place = int(np.argmax(self.mean_iou))
        return self.mean_iou[place], float(THRESHOLDS[place])


def mean_scores_of(several: Sequence[FixedIntervalScores]) -> FixedIntervalScores:
    """Return the plain mean of scores, as of folds; at least one."""
    curves = [
        tuple(np.mean([getattr(one, name) for one in several], 0).tolist())
        for name in ("fg_iou", "bin_iou", "mean_iou")
    ]
    return FixedIntervalScores(float(np.mean([one.ap for one in several])), *curves)


def _place(threshold: float) -> int:
    return int(np.abs(THRESHOLDS - threshold).argmin())


def threshold_counts(
    probability: NDArray[np.floating],
    truth: NDArray[np.bool_],
    counted: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Return true and false positives, false and true negatives at each threshold, (4, 49).

    probability: (H, W) in [0, 1]. truth, counted: (H, W); pixels outside ``counted`` do not count.
    """
    inside = slice(None) if counted is None else counted
    p, g = probability[inside].ravel(), truth[inside].ravel()
    # How many thresholds each pixel passes: p > t, in the precision of p, as there.
    passed = np.searchsorted(THRESHOLDS.astype(p.dtype), p, side="left")
    bins = len(THRESHOLDS) + 1
    on = np.bincount(passed[g], minlength=bins)[::-1].cumsum()[::-1]
    off = np.bincount(passed[~g], minlength=bins)[::-1].cumsum()[::-1]
    tp, fp = on[1:], off[1:]
    return np.stack([tp, fp, on[0] - tp, off[0] - fp])


class FixedIntervalMetrics:
    """Add samples, then ``compute``. Memory is a row of counts a category."""

    def __init__(self) -> None:
        # category -> true positives, false positives, false negatives, true negatives
        self._counts: dict[Hashable, NDArray[np.int64]] = {}

    def add(
        self,
        probability: NDArray[np.floating],
        truth: NDArray[np.bool_],
        category: Hashable,
        counted: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add a map in [0, 1] and its truth, (H, W); pixels outside ``counted`` do not count."""
        self.add_counts(threshold_counts(probability, truth, counted), category)

    def add_counts(self, counts: NDArray[np.int64], category: Hashable) -> None:
        """Add what ``threshold_counts`` returned."""
        self._counts[category] = self._counts.get(category, 0) + counts

    def compute(self) -> FixedIntervalScores:
        """Return the scores of all samples; zeros where there were none."""
        if not self._counts:
            none = (0.0,) * len(THRESHOLDS)
            return FixedIntervalScores(0.0, none, none, none)
        each = np.stack(list(self._counts.values()))
        tp, fp, fn, tn = each.sum(0)
        fg = tp / (1 + tp + fp + fn)
        bg = tn / (1 + tn + fn + fp)
        own = each[:, 0] / (1 + each[:, 0] + each[:, 1] + each[:, 2])
        return FixedIntervalScores(
            _average_precision(tp, fp, fn),
            tuple(fg.tolist()),
            tuple((0.5 * (fg + bg)).tolist()),
            tuple(own.mean(0).tolist()),
        )


def _average_precision(
    tp: NDArray[np.int64], fp: NDArray[np.int64], fn: NDArray[np.int64]
) -> float:
    made = tp + fp > 0
    precision, recall = (tp / (1 + tp + fp))[made], (tp / (1 + tp + fn))[made]
    # In the authors' order, which is a set's where recalls are equal.
    points = sorted(set(zip(recall.tolist(), precision.tolist(), strict=True)), key=lambda x: x[0])
    return _simpson([x for x, _ in points], [y for _, y in points])


def _simpson(x: Sequence[float], y: Sequence[float]) -> float:
    """Composite Simpson's rule on uneven places, with Cartwright's correction for even counts.

    As SciPy's: what is divided by 0, where places are equal, counts 0.
    """
    count = len(x)
    if count < 2:
        return 0.0
    if count == 2:
        return (x[1] - x[0]) * (y[0] + y[1]) / 2
    h = np.diff(x).tolist()
    total = 0.0
    for i in range(0, count - 2, 2):
        a, b = h[i], h[i + 1]
        s, slope = a + b, _divided(a, b)
        first, last = 2 - _divided(1, slope), 2 - slope
        total += s / 6 * (first * y[i] + s * _divided(s, a * b) * y[i + 1] + last * y[i + 2])
    if count % 2 == 0:
        a, b = h[-2], h[-1]
        total += y[-1] * _divided(2 * b * b + 3 * a * b, 6 * (a + b))
        total += y[-2] * _divided(b * b + 3 * a * b, 6 * a)
        total -= y[-3] * _divided(b**3, 6 * a * (a + b))
    return total


def _divided(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
