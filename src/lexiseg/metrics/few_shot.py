"""Scores of few-shot segmentation over folds: mean IoU by class, and foreground-background IoU.

As HSNet's evaluator computes them (Min et al., ICCV 2021), and with it Matcher and GF-SAM: counts
are summed over a class's episodes before they are divided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexiseg.errors import InputError, OptionError

__all__ = ["FewShotMetrics", "FewShotScores", "episode_counts", "mean_of_folds"]


@dataclass(frozen=True)
class FewShotScores:
    """mean_iou over classes and fb_iou, in [0, 1], and over how many classes and episodes."""

    mean_iou: float
    fb_iou: float
    classes: int
    episodes: int


class FewShotMetrics:
    """Add episodes, then ``compute``. class_ids: the classes of a fold, all of which count."""

    def __init__(self, class_ids: Iterable[int]) -> None:
        # class -> (2, 2): background and foreground; intersection and union.
        self._counts = {int(one): np.zeros((2, 2), np.int64) for one in class_ids}
        if not self._counts:
            raise OptionError("a fold without classes; give at least one")
        self.episodes = 0

    def add(
        self,
        pred: NDArray[np.bool_],
        truth: NDArray[np.bool_],
        class_id: int,
        counted: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add an episode's mask and its truth, (H, W); pixels outside ``counted`` do not count."""
        self.add_counts(episode_counts(pred, truth, counted), class_id)

    def add_counts(self, counts: ArrayLike, class_id: int) -> None:
        """Add what ``episode_counts`` gave of an episode."""
        if class_id not in self._counts:
            known = ", ".join(str(one) for one in sorted(self._counts))
            raise OptionError(f"class {class_id} is not of this fold; its classes are {known}")
        self._counts[class_id] += np.asarray(counts, np.int64)
        self.episodes += 1

    def iou(self) -> dict[int, float]:
        """Return each class's foreground IoU; 0 for a class that no episode had."""
        return {one: c[1, 0] / max(c[1, 1], 1) for one, c in self._counts.items()}

    def compute(self) -> FewShotScores:
        """Return the fold's scores; fb_iou is NaN without episodes."""
        values = list(self.iou().values())
        total = sum(self._counts.values(), np.zeros((2, 2), np.int64))
        both = [shared / either if either else float("nan") for shared, either in total.tolist()]
        return FewShotScores(
            float(np.mean(values)), float(np.mean(both)), len(values), self.episodes
        )


def episode_counts(
    pred: NDArray[np.bool_], truth: NDArray[np.bool_], counted: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return pixels in both and in either of a mask and its truth, of background and foreground.

    pred, truth, counted: (H, W); pixels outside ``counted`` do not count. Returns (2, 2).
    """
    if pred.shape != truth.shape:
        raise InputError(f"the mask is {pred.shape} and the truth {truth.shape}; give one size")
    if counted is not None:
        pred, truth = pred[counted], truth[counted]
    sides = ((~pred, ~truth), (pred, truth))
    return np.array([[(one & other).sum(), (one | other).sum()] for one, other in sides], np.int64)


def mean_of_folds(folds: Sequence[FewShotScores]) -> FewShotScores:
    """Return the plain mean over folds, as papers print it; classes and episodes are summed."""
    if not folds:
        raise OptionError("no folds; give the scores of at least one")
    return FewShotScores(
        float(np.mean([one.mean_iou for one in folds])),
        float(np.mean([one.fb_iou for one in folds])),
        sum(one.classes for one in folds),
        sum(one.episodes for one in folds),
    )
