"""Label maps: made of probabilities on a grid of cells, along the image's outlines; their parts.

Nothing here holds words times pixels at once: probabilities stay on the coarse grid, and the image
is labelled tile by tile, one class after the other. No function changes its arguments.

Fast guided filter (He, Sun and Tang 2013; He and Sun 2015, arXiv 1505.00996): around every place
of the grid a map is a linear function of the picture's colours there; the function's coefficients,
not the map, are enlarged, so that edges of the picture become edges of the map.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from lexiseg.imaging import pad_to_multiple, resize_image
from lexiseg.masks import Masks, label_runs

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "GuidedFilter", "LabelMap", "Labels", "Window", "cut",
    "empty_labels", "guided_radius", "label_map", "map_labels", "mean_scores", "resize_labels",
    "scored_runs", "winning_labels",
]  # fmt: skip

Scalar = TypeVar("Scalar", bound=np.generic)
Labels = NDArray[np.int16] | NDArray[np.int32]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Window = tuple[int, int, int, int]  # y0, x0, y1, x1

_SMALL_CELL = 8  # pixels of the scaled image
_TILE = 16  # cells a side
_AT_ONCE = 60_000  # pixels, of about 12 floats each while they are labelled (3 MB)
_WIDEST = 8_192  # pixels; cv2.remap counts them in 16 bits


@dataclass(frozen=True)
class GuidedFilter:
    """The picture that maps follow.

    rgb: (H, W, 3) uint8. work_hw: the picture's size when it was encoded; its last cells may reach
    over the border. cell: pixels of that size a cell. radius: of the filter's windows, in cells; 0
    enlarges without a guide. epsilon: the variance of colours, in [0, 1] squared, below which a
    window counts as flat.
    """

    rgb: NDArray[np.uint8]
    work_hw: tuple[int, int]
    cell: int
    radius: int
    epsilon: float

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def reach(self) -> int:
        """How many cells away a place of a map can still be felt."""
        return 2 * self.radius + 1  # two means over windows, then bilinear

    def fit(self, maps: Floats) -> Floats:
        """Maps (K, h, w) -> coefficients (K, 4, h, w): of red, green, blue (0 to 255) and 1."""
        maps = np.ascontiguousarray(maps, np.float32)
        out = np.zeros((len(maps), 4, *maps.shape[1:]), np.float32)
        if self.radius == 0:
            out[:, 3] = maps
            return out
        mean = self._mean
        colours, means, inverse = self._colours
        for coefficients, plane in zip(out, maps, strict=True):
            constant = mean(plane)
            cross = [mean(colours[i] * plane) - means[i] * constant for i in range(3)]
            for i in range(3):
                slope = inverse[i][0] * cross[0] + inverse[i][1] * cross[1]
                slope += inverse[i][2] * cross[2]
                constant = constant - slope * means[i]
                coefficients[i] = mean(slope) / 255
            coefficients[3] = mean(constant)
        return out

    def apply(self, coefficients: Floats, window: Window) -> Iterator[Floats]:
        """Coefficients (K, 4, h, w) -> K maps of a window of the picture, (y1 - y0, x1 - x0)."""
        return map(_Enlarger(self, coefficients.shape[2:], window), coefficients)

    def _mean(self, plane: Floats) -> Floats:
        import cv2

        side = 2 * self.radius + 1
        return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REPLICATE))

    @cached_property
    def _colours(self) -> tuple[Floats, list[Floats], list[list[Floats]]]:
        """The cells' colours, (3, h, w), their means, and the inverse of their spread."""
        colours, mean = self._coarse(), self._mean
        means = [mean(colour) for colour in colours]
        spread = [
            [mean(colours[i] * colours[j]) - means[i] * means[j] for j in range(3)]
            for i in range(3)
        ]
        return colours, means, _inverse(spread, self.epsilon)

    def _coarse(self) -> Floats:
        """The picture's mean colour in each cell, (3, h, w) in [0, 1]."""
        import cv2

        whole = (
            pad_to_multiple(resize_image(self.rgb, self.work_hw), self.cell).astype(np.float32)
            / 255
        )
        size = (whole.shape[1] // self.cell, whole.shape[0] // self.cell)
        cells = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(cells.transpose(2, 0, 1))


def guided_radius(radius: int | None, cell: int) -> int:
    """Return the radius of the guided filter, in cells; None: as suits cells of so many pixels.

    2 was the best over five sets with cells of 4 pixels (benchmarks' row ``guided-filter``).
    Windows of larger cells would reach over several things.
    """
    if radius is not None:
        return radius
    return 2 if cell <= _SMALL_CELL else 1


def _inverse(spread: list[list[Floats]], epsilon: float) -> list[list[Floats]]:
    """The inverse of symmetric 3x3 matrices plus epsilon on the diagonal, a plane an entry.

    By cofactors, in float64: a tenth of the time of a general inverse a place.
    """
    m = [[entry.astype(np.float64) for entry in row] for row in spread]
    for i in range(3):
        m[i][i] += epsilon
    cofactors = [
        [
            m[(i + 1) % 3][(j + 1) % 3] * m[(i + 2) % 3][(j + 2) % 3]
            - m[(i + 1) % 3][(j + 2) % 3] * m[(i + 2) % 3][(j + 1) % 3]
            for j in range(3)
        ]
        for i in range(3)
    ]
    determinant = sum(m[0][j] * cofactors[0][j] for j in range(3))
    return [[(c / determinant).astype(np.float32) for c in row] for row in cofactors]


class _Enlarger:
    """Enlarges coefficients in one window of the picture: bilinear, a matrix product an axis."""

    def __init__(self, guide: GuidedFilter, grid_hw: tuple[int, ...], window: Window) -> None:
        self.window = y0, x0, y1, x1 = window
        (height, width), (work_h, work_w) = guide.size_hw, guide.work_hw
        self._rows, self._down = _taps(y0, y1, work_h / guide.cell / height, grid_hw[0])
        self._columns, self._across = _taps(x0, x1, work_w / guide.cell / width, grid_hw[1])
        self._guide = guide

    def __call__(self, coefficients: Floats, less: Floats | None = None) -> Floats:
        """Coefficients (4, h, w), without those of another map, -> a map of the window."""
        planes = (
            self._cut(coefficients) if less is None else self._cut(coefficients) - self._cut(less)
        )
        full: Floats = np.matmul(self._down, planes @ self._across.T, dtype=np.float32)
        out: Floats = full[-1]
        if not self._guide.radius:
            return out
        for slope, colour in zip(full, self._colours, strict=False):
            slope *= colour
            out += slope
        return out

    def _cut(self, coefficients: Floats) -> Floats:
        planes = coefficients if self._guide.radius else coefficients[3:]
        return planes[:, self._rows, self._columns]

    @cached_property
    def _colours(self) -> Floats:
        """The window's pixels, (3, rows, columns)."""
        y0, x0, y1, x1 = self.window
        pixels = self._guide.rgb[y0:y1, x0:x1].transpose(2, 0, 1)
        return np.ascontiguousarray(pixels, np.float32)


@lru_cache(maxsize=64)  # windows share their rows and their columns
def _taps(start: int, stop: int, cells: float, count: int) -> tuple[slice, Floats]:
    """Which places of a grid pixels start to stop lie between, and their weights in each pixel.

    cells: of a pixel. count: of the grid; its border values reach outwards.
    """
    places = ((np.arange(start, stop) + 0.5) * cells - 0.5).clip(0, count - 1)
    lower = places.astype(np.intp)
    first, last = int(lower[0]), min(int(lower[-1]) + 2, count)
    rows, part = np.arange(stop - start), places - lower
    weights = np.zeros((stop - start, last - first), np.float32)
    weights[rows, lower - first] = 1 - part
    weights[rows, np.minimum(lower + 1, count - 1) - first] += part
    return slice(first, last), weights


@dataclass(frozen=True, eq=False)
class LabelMap:
    """The winning class of every pixel, and its probability there.

    labels: (H, W) int16 or int32, -1 where the winner stays under its threshold. scores: (H, W)
    float16 in [0, 1].
    """

    labels: Labels
    scores: NDArray[np.float16]


def empty_labels(size_hw: tuple[int, int], num_classes: int) -> Labels:
    """Return room for a label map, of the smallest type that holds so many classes."""
    if num_classes < 2**15:
        return np.empty(size_hw, np.int16)
    return np.empty(size_hw, np.int32)


def label_map(
    probabilities: Tensor,
    guide: GuidedFilter,
    thresholds: NDArray[np.float32] | None = None,
    *,
    values: NDArray[np.integer] | None = None,
    only: Collection[int] | NDArray[np.integer] | None = None,
) -> LabelMap:
    """Return the label map, (H, W), of probabilities (C, h, w), enlarged by the guide.

    In a tile only classes that win at some cell within reach compete: between two cells a class
    that is second at both could come first by interpolation alone.
    thresholds: (C,) in [0, 1]; a pixel whose winner scores less gets -1. values: (C,), what stands
    for each class in the map, if not its index. only: classes that are wanted; what others win may
    have -1 and score 0 instead, which costs less.
    """
    import torch

    values = np.arange(len(probabilities)) if values is None else values
    labels = empty_labels(guide.size_hw, int(values.max()) + 1)
    scores = np.zeros(guide.size_hw, np.float16)  # takes no memory where none is written
    to_scores = torch.from_numpy(scores)  # casts in a tenth of NumPy's time
    for classes, coefficients, enlarge in _rivals(probabilities, guide, only):
        y0, x0, y1, x1 = enlarge.window
        label = labels[y0:y1, x0:x1]
        if not len(classes):
            label[:] = -1
            continue
        best = enlarge(coefficients[0])
        label[:] = values[classes[0]]
        for rival, plane in zip(classes[1:], coefficients[1:], strict=True):
            lead = enlarge(plane)
            np.copyto(label, values[rival], where=lead > best, casting="unsafe")
            np.maximum(best, lead, out=best)
        np.clip(best, 0, 1, out=best)
        if thresholds is not None:
            for rival in classes:
                label[(label == values[rival]) & (best < thresholds[rival])] = -1
        to_scores[y0:y1, x0:x1] = torch.from_numpy(best)
    return LabelMap(labels, scores)


def winning_labels(
    probabilities: Tensor,
    guide: GuidedFilter,
    *,
    values: NDArray[np.integer] | None = None,
    only: Collection[int] | NDArray[np.integer] | None = None,
) -> Labels:
    """Return the labels of the same map, (H, W), without scores.

    What is enlarged is how far classes lead over the first one: a plane less in every tile.
    """
    values = np.arange(len(probabilities)) if values is None else values
    labels = empty_labels(guide.size_hw, int(values.max()) + 1)
    for classes, coefficients, enlarge in _rivals(probabilities, guide, only):
        y0, x0, y1, x1 = enlarge.window
        label = labels[y0:y1, x0:x1]
        label[:] = values[classes[0]] if len(classes) else -1
        if len(classes) < 2:
            continue
        best = np.zeros(label.shape, np.float32)
        for rival, plane in zip(classes[1:], coefficients[1:], strict=True):
            lead = enlarge(plane, coefficients[0])
            np.copyto(label, values[rival], where=lead > best, casting="unsafe")
            np.maximum(best, lead, out=best)
    return labels


def _rivals(
    probabilities: Tensor,
    guide: GuidedFilter,
    only: Collection[int] | NDArray[np.integer] | None,
) -> Iterator[tuple[NDArray[np.integer], Floats, _Enlarger]]:
    """For each window of the picture the classes that compete there, and their coefficients.

    There are none where no class of ``only`` competes.
    """
    on_host = probabilities.cpu().numpy()
    classes, winners = np.unique(on_host.argmax(0), return_inverse=True)
    wanted = np.isin(classes, classes if only is None else np.asarray(only, np.intp))
    coefficients, reach = guide.fit(on_host[classes]), guide.reach
    for (i0, j0, i1, j1), window in _tiles(guide, winners.shape):
        near = winners[max(0, i0 - reach) : i1 + reach, max(0, j0 - reach) : j1 + reach]
        there = np.zeros(len(classes), np.bool_)
        there[near] = True
        rivals = np.flatnonzero(there & (there & wanted).any())
        yield classes[rivals], coefficients[rivals], _Enlarger(guide, winners.shape, window)


def _tiles(guide: GuidedFilter, grid_hw: tuple[int, ...]) -> Iterator[tuple[Window, Window]]:
    """Tiles of the grid, and for each the windows of the picture that lie in it, both y0 x0 y1 x1.

    The windows are small enough to be worked on at once.
    """

    def cuts(cells: int, covered: float, length: int) -> list[tuple[int, int, int, int]]:
        inner = range(_TILE, cells, _TILE)
        pixels = [0, *(min(length, round(c / covered * length)) for c in inner), length]
        starts = [0, *inner]
        return [
            (start, min(start + _TILE, cells), low, high)
            for start, low, high in zip(starts, pixels[:-1], pixels[1:], strict=True)
            if low < high  # a small picture may have no pixel there
        ]

    (h, w), (height, width) = grid_hw, guide.size_hw
    rows = cuts(h, guide.work_hw[0] / guide.cell, height)
    columns = cuts(w, guide.work_hw[1] / guide.cell, width)
    for i0, i1, top, bottom in rows:
        for j0, j1, left, right in columns:
            for x0 in range(left, right, _WIDEST):
                x1 = min(x0 + _WIDEST, right)
                step = max(1, _AT_ONCE // (x1 - x0))
                for y0 in range(top, bottom, step):
                    yield (i0, j0, i1, j1), (y0, x0, min(y0 + step, bottom), x1)


def resize_labels(labels: NDArray[Scalar], size_hw: tuple[int, int]) -> NDArray[Scalar]:
    """Return a map (H, W) at another size, by the pixel nearest to each centre."""
    if labels.shape == size_hw:
        return labels
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(labels.shape, size_hw, strict=True)
    )
    out: NDArray[Scalar] = labels[rows[:, None], columns]
    return out


def map_labels(labels: Labels, values: NDArray[np.integer]) -> Labels:
    """Return a label map (H, W) with the value (N,) of each label; -1 reads the last value."""
    return cast(Labels, values.astype(labels.dtype)[labels])


def mean_scores(
    labels: NDArray[np.int16] | NDArray[np.int32], scores: NDArray[np.float16], words: int
) -> NDArray[np.float32]:
    """Return the mean score of each word over its own pixels, (K,); 0 for a word without any.

    labels: (H, W), index of a word, -1 for nothing. scores: (H, W) in [0, 1].
    """
    total, pixels = np.zeros(words + 1), np.zeros(words + 1)
    for start, stop, value, sums in scored_runs(labels, scores):
        total += np.bincount(value + 1, sums, words + 1)
        pixels += np.bincount(value + 1, stop - start, words + 1)
    return (total / np.maximum(pixels, 1))[1:].astype(np.float32)


def scored_runs(
    labels: NDArray[np.int16] | NDArray[np.int32], scores: NDArray[np.float16]
) -> Iterator[tuple[Ints, Ints, Ints, Floats]]:
    """The runs of a label map, band by band, as ``label_runs`` has them, and their scores' sums."""
    import torch

    flat = torch.from_numpy(scores if scores.flags.writeable else scores.copy()).reshape(-1)
    for start, stop, value in label_runs(labels):
        # NumPy takes a tenth of the time of a cast to float32 and a sum, or more, for its own.
        band = flat[int(start[0]) : int(stop[-1])].float().numpy()
        yield start, stop, value, np.add.reduceat(band, start - start[0])


def cut(masks: Masks, labels: NDArray[np.integer], values: NDArray[np.integer]) -> Masks:
    """Return what each mask keeps: its pixels in which the label map has its value, (N,)."""
    crops = (
        masks.crop(i) & (labels[y0:y1, x0:x1] == value)
        for i, ((x0, y0, x1, y1), value) in enumerate(
            zip(masks.boxes_xyxy.tolist(), values.tolist(), strict=True)
        )
    )
    return Masks.from_crops(masks.size_hw, masks.boxes_xyxy[:, :2], crops)
