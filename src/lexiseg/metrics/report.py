"""Scores of an evaluation, by class and over the set, with intervals, as text and JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lexiseg.metrics.boundary import BoundaryIoU, BoundaryScore
from lexiseg.metrics.class_scores import (
    Averages,
    class_scores,
    frequency_weighted_iou,
    pooled,
)
from lexiseg.metrics.confusion import (
    ConfusionMatrix,
    draw_weights,
    interval,
    resample,
    resample_iou,
)

__all__ = ["ClassScore", "Estimate", "SetScore", "count_of", "json_value", "score_set"]

# A class in fewer photos has no IoU worth averaging: one photo would decide it.
MIN_PHOTOS = 5


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over photos; NaN where it does not exist."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return "52.1 (49.0 to 55.3)": percent."""
        if math.isnan(self.value):
            return "-"
        if math.isnan(self.low):
            return f"{100 * self.value:.1f}"
        return f"{100 * self.value:.1f} ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class ClassScore:
    """One class: its name, its word, and how well it was segmented.

    `photos` hold it. `iou`, `precision`, `recall` (its accuracy), `f1`, `boundary_f1` and
    `boundary_iou` are in [0, 1], NaN where they do not exist. `share` and `predicted_share` are the
    shares of counted pixels that are it, and that were given to it. `confused_with` are the words
    that took most of its pixels, with the share of its pixels; "" stands for no word.
    """

    name: str
    word: str
    photos: int
    iou: Estimate
    precision: float
    recall: float
    f1: float
    boundary_f1: float
    boundary_iou: float
    share: float
    predicted_share: float
    confused_with: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class SetScore:
    """A whole set. Shares and scores are in [0, 1].

    `mean_iou`, `mean_accuracy`, `boundary_f1` and `boundary_iou` are over the `mean_classes`
    classes, background aside, that at least `min_photos` photos hold. `mean_iou_all` is over the
    `all_classes` that were there or predicted, background included, `mean_accuracy_all` over those
    that were there: mmsegmentation's mIoU and mAcc. `macro` are means over all classes, `pooled`
    counts all their pixels together. `frequency_weighted_iou` weighs classes by their area.
    `absent_share` is the share of pixels given to words that no photo holds,
    `extra_share` to words that are no class of the set, `unlabelled` to no word.
    """

    photos: int
    classes: tuple[ClassScore, ...]
    min_photos: int
    mean_classes: int
    mean_iou: Estimate
    mean_iou_all: float
    all_classes: int
    pixel_accuracy: Estimate
    mean_accuracy: Estimate
    mean_accuracy_all: float
    frequency_weighted_iou: Estimate
    macro: Averages
    pooled: Averages
    boundary_f1: float
    boundary_iou: float
    absent_words: tuple[str, ...]
    absent_share: float
    extra_share: float
    unlabelled: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON: null for NaN, six decimals for the others."""
        plain: dict[str, Any] = json_value(asdict(self))
        return plain

    def summary(self) -> str:
        """Return a text of lines: the set's numbers, then a table of its classes, best first."""
        some = f"{count_of(self.mean_classes, 'class')} in at least {self.min_photos} photos"
        every = f"{count_of(self.all_classes, 'class')} there or predicted"
        numbers = [
            ("mean IoU", str(self.mean_iou), f"{some}, background aside"),
            ("mean IoU, all", _percent(self.mean_iou_all), every),
            ("pixel accuracy", str(self.pixel_accuracy), ""),
            ("mean accuracy", str(self.mean_accuracy), f"{some}, background aside"),
            ("mean acc., all", _percent(self.mean_accuracy_all), "classes there"),
            ("weighted IoU", str(self.frequency_weighted_iou), "by the classes' areas"),
            ("precision", _percent(self.macro.precision), "mean over classes; " + _both(self, 0)),
            ("recall", _percent(self.macro.recall), "mean over classes; " + _both(self, 1)),
            ("F1", _percent(self.macro.f1), "mean over classes; " + _both(self, 2)),
            ("boundary F1", _percent(self.boundary_f1), some),
            ("boundary IoU", _percent(self.boundary_iou), some),
        ]
        wide = max(len(value) for _, value, _ in numbers)
        lines = [f"{name:<16} {value:<{wide}}   {over}".rstrip() for name, value, over in numbers]
        lines += [
            f"{'absent words':<16} {_percent(self.absent_share)} of the pixels, given to "
            f"{count_of(len(self.absent_words), 'word')} that no photo holds",
            f"{'no word':<16} {_percent(self.unlabelled)} of the pixels",
        ]
        if self.extra_share:
            lines.append(f"{'extra words':<16} {_percent(self.extra_share)} of the pixels")
        if not self.mean_classes:
            lines.append(
                f'"-": no class is in {self.min_photos} of {count_of(self.photos, "photo")}, and '
                'one photo says little of a class; "all" counts every class'
            )
        width = max(len(one.name) for one in self.classes)
        lines += ["", f"{'class':<{width}}  photos  IoU in %                taken for"]
        ranked = sorted(self.classes, key=lambda one: (-one.photos > 0, -_known(one.iou.value)))
        for one in ranked:
            mistakes = ", ".join(
                f"{word or '(nothing)'} {_percent(share)}" for word, share in one.confused_with
            )
            line = f"{one.name:<{width}}  {one.photos:>6}  {one.iou!s:<22}  {mistakes}"
            lines.append(line.rstrip())
        return "\n".join(lines) + "\n"


def score_set(
    matrix: ConfusionMatrix,
    boundary: BoundaryScore,
    bands: BoundaryIoU,
    names: tuple[str, ...],
    words: tuple[str, ...],
    background_index: int | None,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> SetScore:
    """Turn counts into scores.

    `names` are the C classes. `words` are what the predicted indices stand for: the C classes'
    words, then extra words; the matrix has one column more, for pixels without a word.
    `samples` and `seed` say how the photos are resampled for the intervals.
    """
    classes, extras = len(names), range(len(names), len(words))
    exclude = () if background_index is None else (background_index,)
    weights = draw_weights(len(matrix), samples=samples, seed=seed)
    truth, hits = matrix.truth_areas(), matrix.hits()
    iou_samples = resample_iou(matrix, weights)
    iou, (low, high) = matrix.iou(), interval(iou_samples)
    f1, band_iou, photos = boundary.f1(), bands.iou(), matrix.class_photos
    each = class_scores(matrix.total)
    total = matrix.total.sum()
    scores = tuple(
        ClassScore(
            name=names[index],
            word=words[index],
            photos=int(photos[index]),
            iou=Estimate(float(iou[index]), float(low[index]), float(high[index])),
            precision=float(each.precision[index]),
            recall=float(each.recall[index]),
            f1=float(each.f1[index]),
            boundary_f1=float(f1[index]),
            boundary_iou=float(band_iou[index]),
            share=float(matrix.total[index].sum() / total) if total else math.nan,
            predicted_share=matrix.share([index]),
            confused_with=_confusions(matrix, index, (*words, "")),
        )
        for index in range(classes)
    )
    counted = matrix.select_classes(min_photos=MIN_PHOTOS, exclude=exclude)
    mean_samples = _means(iou_samples[:, counted])
    accuracy_samples = resample(hits.sum(1), truth.sum(1), weights)
    recall_samples = _means(resample(hits, truth, weights)[:, counted])
    areas = weights.astype(np.float64) @ truth.astype(np.float64)
    weighted_samples = _weighted_means(iou_samples, areas)
    absent = [index for index in range(classes) if not photos[index] and index not in exclude]
    return SetScore(
        photos=len(matrix),
        classes=scores,
        min_photos=MIN_PHOTOS,
        mean_classes=len(counted),
        mean_iou=_estimate(matrix.mean_iou(min_photos=MIN_PHOTOS, exclude=exclude), mean_samples),
        mean_iou_all=each.mean_iou,
        all_classes=int(np.isfinite(each.iou).sum()),
        pixel_accuracy=_estimate(matrix.pixel_accuracy(), accuracy_samples),
        mean_accuracy=_estimate(float(_means(each.recall[None, counted])[0]), recall_samples),
        mean_accuracy_all=each.mean_accuracy,
        frequency_weighted_iou=_estimate(frequency_weighted_iou(matrix.total), weighted_samples),
        macro=each.macro(),
        pooled=pooled(matrix.total),
        boundary_f1=float(_means(f1[None, counted])[0]),
        boundary_iou=float(_means(band_iou[None, counted])[0]),
        absent_words=tuple(words[index] for index in absent),
        absent_share=matrix.share(absent),
        extra_share=matrix.share(extras),
        unlabelled=matrix.share([len(words)]),
    )


def _confusions(
    matrix: ConfusionMatrix, index: int, words: tuple[str, ...], limit: int = 3
) -> tuple[tuple[str, float], ...]:
    row = matrix.total[index].astype(np.float64)
    area = row.sum()
    row[index] = 0
    worst = [other for other in np.argsort(-row, kind="stable")[:limit] if row[other]]
    return tuple((words[other], float(row[other] / area)) for other in worst)


def _means(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the mean of each row over its known values, NaN where it has none."""
    known = np.isfinite(values)
    count = known.sum(1)
    sums = np.where(known, values, 0).sum(1)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def _weighted_means(
    values: np.ndarray[Any, np.dtype[np.float64]], weights: np.ndarray[Any, np.dtype[np.float64]]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the mean of each row by weights, (S, C) both; NaN where they sum to 0."""
    sums, whole = (np.where(weights > 0, values, 0) * weights).sum(1), weights.sum(1)
    return np.where(whole > 0, sums / np.maximum(whole, 1), np.nan)


def _estimate(value: float, samples: np.ndarray[Any, np.dtype[np.float64]]) -> Estimate:
    return Estimate(value, *map(float, interval(samples)))


def _both(score: SetScore, place: int) -> str:
    """Precision, recall or F1 of all pixels together."""
    pool = score.pooled
    return f"{_percent((pool.precision, pool.recall, pool.f1)[place])} of all pixels together"


def count_of(number: int, what: str) -> str:
    """Return a number of things in words: "1 photo", "2 classes"."""
    return (
        f"{number} {what}" if number == 1 else f"{number} {what}{'es' if what[-1] == 's' else 's'}"
    )


def _known(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def json_value(value: Any) -> Any:
    """Return a value as JSON has it: lists for tuples, null for what is not finite,
    six decimals."""
    if isinstance(value, dict):
        return {key: json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
