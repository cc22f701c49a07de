"""Confusion matrices summed over a set, and intervals over its photos."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexiseg.errors import InputError, OptionError
from lexiseg.metrics.class_scores import class_scores, ratio

__all__ = ["ConfusionMatrix", "confusion", "draw_weights", "interval", "resample", "resample_iou"]


Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    num_classes: int,
    ignore_index: int | None = 255,
    *,
    num_predicted: int | None = None,
) -> Counts:
    """Return how many pixels of each true class got each predicted class, (C, P) int64.

    `pred` and `truth` are (H, W) class indices. Pixels whose truth is `ignore_index` do not count,
    whatever was predicted there. P is `num_predicted`, by default C: a predictor may know classes
    that the truth does not have, and pixels given to them are simply wrong. Raises InputError when
    the shapes differ or a counted pixel is out of range.
    """
    columns = num_classes if num_predicted is None else num_predicted
    if pred.shape != truth.shape:
        swapped = " (height and width are swapped)" if pred.shape == truth.shape[::-1] else ""
        raise InputError(
            f"the prediction is {pred.shape} and the truth {truth.shape}{swapped}; "
            "give both as (H, W) of the same photo"
        )
    truth, pred = truth.ravel(), pred.ravel()
    if ignore_index is not None:
        counted = truth != ignore_index
        truth, pred = truth[counted], pred[counted]
    _check_range(truth, num_classes, "true")
    _check_range(pred, columns, "predicted")
    cells = truth.astype(np.int64) * columns + pred
    return np.bincount(cells, minlength=num_classes * columns).reshape(num_classes, columns)


class ConfusionMatrix:
    """Confusion counts summed over photos; each photo's own counts are kept, sparsely.

    Attributes: `num_classes` C, `num_predicted` P >= C, `ignore_index`, and `total`, (C, P) int64,
    true class by predicted class. Predicted index i < C means class i; the columns from C on are
    things that the truth never names.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        ignore_index: int | None = 255,
        num_predicted: int | None = None,
    ) -> None:
        columns = num_classes if num_predicted is None else num_predicted
        if num_classes < 1 or columns < num_classes:
            raise OptionError(
                f"num_classes={num_classes}, num_predicted={columns}: "
                "give at least one class, and no fewer predicted classes than true ones"
            )
        self.num_classes = num_classes
        self.num_predicted = columns
        self.ignore_index = ignore_index
        self.total: Counts = np.zeros((num_classes, columns), np.int64)
        # A photo holds a few of the classes, so its counts are a handful of (cell, count) pairs.
        self._cells: list[NDArray[np.int32]] = []
        self._counts: list[Counts] = []

    def __len__(self) -> int:
        """Return the number of photos added."""
        return len(self._cells)

    def add(self, pred: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Count one photo: (H, W) predicted and true class indices; errors as `confusion`."""
        counts = confusion(
            pred,
            truth,
            self.num_classes,
            self.ignore_index,
            num_predicted=self.num_predicted,
        )
        cells = np.flatnonzero(counts)
        self.add_counts(cells, counts.ravel()[cells])

    def add_counts(self, cells: ArrayLike, counts: ArrayLike) -> None:
        """Count one photo that was counted elsewhere: what `counts_of` returned there."""
        self._extend([(np.asarray(cells, np.int32), np.asarray(counts, np.int64))])

    def counts_of(self, photo: int) -> tuple[NDArray[np.int32], Counts]:
        """Return the non-zero counts of the photo added at a position: cells and counts, (n,).

        A cell is true class * num_predicted + predicted class.
        """
        return self._cells[photo], self._counts[photo]

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the photos of `other`, counted elsewhere, after one's own."""
        mine = (self.num_classes, self.num_predicted, self.ignore_index)
        theirs = (other.num_classes, other.num_predicted, other.ignore_index)
        if mine != theirs:
            raise OptionError(
                "only matrices of one kind can be merged; (classes, predicted, ignore index) are "
                f"{mine} and {theirs}"
            )
        self._extend(zip(other._cells, other._counts, strict=True))

    def subset(self, photos: Iterable[int]) -> ConfusionMatrix:
        """Return the matrix of the photos with these positions, in the order they were added."""
        part = ConfusionMatrix(
            self.num_classes, ignore_index=self.ignore_index, num_predicted=self.num_predicted
        )
        part._extend((self._cells[photo], self._counts[photo]) for photo in photos)
        return part

    @property
    def class_photos(self) -> Counts:
        """In how many photos each class has at least one counted pixel, (C,)."""
        photos: Counts = np.count_nonzero(self.truth_areas(), axis=0)
        return photos

    def iou(self) -> Floats:
        """Return each class's IoU, (C,) in [0, 1]; NaN where it was neither there nor predicted."""
        return class_scores(self.total).iou

    def select_classes(
        self, *, min_photos: int = 0, exclude: Collection[int] = ()
    ) -> NDArray[np.intp]:
        """Return the classes, ascending, in at least `min_photos` photos and not in `exclude`."""
        selected = self.class_photos >= min_photos
        selected[list(exclude)] = False
        return np.flatnonzero(selected)

    def mean_iou(self, *, min_photos: int = 0, exclude: Collection[int] = ()) -> float:
        """Return the mean IoU over the selected classes that have one; NaN where there is none."""
        values = self.iou()[self.select_classes(min_photos=min_photos, exclude=exclude)]
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else float("nan")

    def pixel_accuracy(self) -> float:
        """Return the share of counted pixels that are right; NaN when no pixel counts."""
        return float(ratio(self.total.diagonal().sum(), self.total.sum()))

    def share(self, columns: Sequence[int]) -> float:
        """Return the share of counted pixels predicted as one of these indices."""
        return float(ratio(self.total[:, list(columns)].sum(), self.total.sum()))

    def truth_areas(self) -> Counts:
        """Return each photo's true pixels by class, (N, C) for N photos."""
        photo, truth, _, counts = self._entries()
        return _sum_at((len(self), self.num_classes), photo, truth, counts)

    def predicted_areas(self) -> Counts:
        """Return each photo's counted pixels by predicted class, (N, P)."""
        photo, _, pred, counts = self._entries()
        return _sum_at((len(self), self.num_predicted), photo, pred, counts)

    def hits(self) -> Counts:
        """Return each photo's right pixels by class, (N, C)."""
        photo, truth, pred, counts = self._entries()
        right = truth == pred
        return _sum_at((len(self), self.num_classes), photo[right], truth[right], counts[right])

    def _extend(self, photos: Iterable[tuple[NDArray[np.int32], Counts]]) -> None:
        flat = self.total.reshape(-1)
        for cells, counts in photos:
            flat[cells] += counts
            self._cells.append(cells)
            self._counts.append(counts)

    def _entries(self) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.int32], Counts]:
        """Return every photo's non-zero counts as columns: photo, true class, predicted, count."""
        photo = np.repeat(np.arange(len(self)), [len(cells) for cells in self._cells])
        cells = np.concatenate([np.zeros(0, np.int32), *self._cells])
        truth, pred = np.divmod(cells, np.int32(self.num_predicted))
        return photo, truth, pred, np.concatenate([np.zeros(0, np.int64), *self._counts])


def _sum_at(
    shape: tuple[int, int], photo: NDArray[np.intp], index: NDArray[np.int32], counts: Counts
) -> Counts:
    out = np.zeros(shape, np.int64)
    np.add.at(out, (photo, index), counts)
    return out


def _check_range(values: NDArray[np.integer], limit: int, kind: str) -> None:
    if not len(values):
        return
    low, high = values.min(), values.max()
    if low < 0 or high >= limit:
        raise InputError(
            f"{kind} class indices run from {low} to {high}, outside 0..{limit - 1}; "
            "is the number of classes or the ignore index right?"
        )


def draw_weights(photos: int, *, samples: int = 1000, seed: int = 0) -> NDArray[np.int64]:
    """Return how often each photo is in each resampled set, (S, N); every row sums to N."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(photos, np.full(photos, 1 / photos), size=samples)


def resample(
    part: NDArray[np.int64], whole: NDArray[np.int64], weights: NDArray[np.int64]
) -> Floats:
    """Return sum(part) / sum(whole) of each resampled set, (S, ...); NaN where `whole` is 0.

    `part` and `whole` are counts by photo, (N, ...); `weights` come from `draw_weights`.
    """
    draws = weights.astype(np.float64)  # float products use BLAS; counts stay exact below 2**53
    top = np.tensordot(draws, part.astype(np.float64), axes=1)
    bottom = np.tensordot(draws, whole.astype(np.float64), axes=1)
    out: Floats = np.full(np.shape(top), np.nan)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out


def resample_iou(matrix: ConfusionMatrix, weights: NDArray[np.int64]) -> Floats:
    """Return each class's IoU in each resampled set, (S, C)."""
    hits = matrix.hits()
    union = matrix.truth_areas() + matrix.predicted_areas()[:, : matrix.num_classes] - hits
    return resample(hits, union, weights)


def interval(values: Floats, coverage: float = 0.95) -> Floats:
    """Return the central interval of resampled values (S, ...), (2, ...): low and high.

    Sets in which a value does not exist (NaN) are left out; NaN where none has it.
    """
    tail = (1 - coverage) / 2
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat).any(0)
    out = np.full((2, flat.shape[1]), np.nan)
    if known.any():
        out[:, known] = np.nanquantile(flat[:, known], [tail, 1 - tail], axis=0)
    return out.reshape(2, *values.shape[1:])
