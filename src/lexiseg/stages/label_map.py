"""Label maps: made of probabilities on a grid of cells, along the image's outlines; their parts.

Nothing here holds words times pixels at once: probabilities stay on the coarse grid, and the image
is labelled tile by tile, one class after the other. No function changes its arguments.

Fast guided filter (He, Sun and Tang 2013; He and Sun 2015, arXiv 1505.00996): around every place
of the grid a map is a linear function of the picture's colours there; the function's coefficients,
not the map, are enlarged, so that edges of the picture become edges of the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from lexiseg.imaging import pad_to_multiple, resize_image
from lexiseg.masks import Masks, label_boxes
from lexiseg.results import ScoreMap

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "GuidedFilter", "LabelMap", "Labels", "Window", "apply_thresholds", "connected_parts", "cut",
    "empty_labels", "guided_radius", "label_map", "map_labels", "mean_scores", "resize_labels",
    "winning_labels",
]  # fmt: skip

Scalar = TypeVar("Scalar", bound=np.generic)
Labels = NDArray[np.int16] | NDArray[np.int32]
Floats = NDArray[np.float32]
Window = tuple[int, int, int, int]  # y0, x0, y1, x1

_SMALL_CELL = 8  # pixels of the scaled image
_TILE = 16  # cells a side
_AT_ONCE = 250_000  # pixels, of about 16 floats each while they are labelled (16 MB)
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
        colours, mean = self._coarse(), self._mean
        means = [mean(colour) for colour in colours]
        spread = [
            [mean(colours[i] * colours[j]) - means[i] * means[j] for j in range(3)]
            for i in range(3)
        ]
        inverse = _inverse(spread, self.epsilon)
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
        y0, x0, y1, x1 = window
        h, w = coefficients.shape[2:]
        rows, ys = _places(y0, y1, self.work_hw[0] / self.cell / self.size_hw[0], h)
        columns, xs = _places(x0, x1, self.work_hw[1] / self.cell / self.size_hw[1], w)
        map_y, map_x = np.repeat(ys[:, None], len(xs), 1), np.tile(xs, (len(ys), 1))
        band = np.ones((*map_x.shape, 4), np.float32)  # colours, and 1 for the constant
        band[..., :3] = self.rgb[y0:y1, x0:x1]
        for planes in coefficients[:, :, rows, columns]:
            if self.radius == 0:
                yield _enlarge(planes[3], map_x, map_y)
                continue
            full = _enlarge(planes.transpose(1, 2, 0), map_x, map_y)
            # Four times as fast as a product and a sum over so short an axis.
            yield np.einsum("yxc,yxc->yx", full, band)

    def _mean(self, plane: Floats) -> Floats:
        import cv2

        side = 2 * self.radius + 1
        return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REPLICATE))

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


def _places(start: int, stop: int, cells: float, count: int) -> tuple[slice, Floats]:
    """Which places of a grid pixels start to stop lie between, and where among these.

    cells: of a pixel. count: of the grid; its border values reach outwards.
    """
    places = (np.arange(start, stop) + 0.5) * cells - 0.5
    first = int(np.clip(np.floor(places[0]), 0, count - 1))
    last = int(np.clip(np.ceil(places[-1]), 0, count - 1)) + 1
    return slice(first, last), (places - first).astype(np.float32)


def _enlarge(plane: Floats, map_x: Floats, map_y: Floats) -> Floats:
    """Bilinear values of a plane (h, w) or (h, w, C) at the places of the maps, (rows, columns)."""
    import cv2

    full = cv2.remap(
        np.ascontiguousarray(plane), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(full, np.float32)


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
    probabilities: Tensor, guide: GuidedFilter, thresholds: NDArray[np.float32] | None = None
) -> LabelMap:
    """Return the label map, (H, W), of probabilities (C, h, w), enlarged by the guide.

    In a tile only classes that win at some cell within reach compete: between two cells a class
    that is second at both could come first by interpolation alone.
    thresholds: (C,) in [0, 1]; a pixel whose winner scores less gets -1.
    """
    labels = empty_labels(guide.size_hw, len(probabilities))
    scores = np.empty(guide.size_hw, np.float16)
    for classes, coefficients, window in _rivals(probabilities, guide):
        y0, x0, y1, x1 = window
        planes = guide.apply(coefficients, window)
        best = next(planes)
        label = np.full(best.shape, classes[0], labels.dtype)
        for rival, values in zip(classes[1:], planes, strict=True):
            np.copyto(label, rival, where=values > best)
            np.maximum(best, values, out=best)
        np.clip(best, 0, 1, out=best)
        if thresholds is not None:
            label[best < thresholds[label]] = -1
        labels[y0:y1, x0:x1], scores[y0:y1, x0:x1] = label, best
    return LabelMap(labels, scores)


def winning_labels(probabilities: Tensor, guide: GuidedFilter) -> Labels:
    """Return the labels of the same map, (H, W), without scores.

    What is enlarged is how far classes lead over the first one: a plane less in every tile.
    """
    labels = empty_labels(guide.size_hw, len(probabilities))
    for classes, coefficients, window in _rivals(probabilities, guide):
        y0, x0, y1, x1 = window
        label = labels[y0:y1, x0:x1]
        label[:] = classes[0]
        best = np.zeros(label.shape, np.float32)
        leads = guide.apply(coefficients[1:] - coefficients[:1], window)
        for rival, lead in zip(classes[1:], leads, strict=True):
            np.copyto(label, rival, where=lead > best)
            np.maximum(best, lead, out=best)
    return labels


def _rivals(
    probabilities: Tensor, guide: GuidedFilter
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.float32], Window]]:
    """For each window of the picture the classes that compete there, and their coefficients."""
    on_host = probabilities.cpu()
    classes, winners = np.unique(on_host.argmax(0).numpy(), return_inverse=True)
    coefficients, reach = guide.fit(on_host.numpy()[classes]), guide.reach
    for (i0, j0, i1, j1), window in _tiles(guide, winners.shape):
        near = winners[max(0, i0 - reach) : i1 + reach, max(0, j0 - reach) : j1 + reach]
        rivals = np.unique(near)
        yield classes[rivals], coefficients[rivals], window


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


def apply_thresholds(
    labels: NDArray[np.int16] | NDArray[np.int32],
    scores: ScoreMap,
    limits: NDArray[np.floating],
    sure: Masks,
) -> NDArray[np.int16] | NDArray[np.int32]:
    """Return a label map without the pixels that score less than their word's limit, (K,).

    Pixels under ``sure`` masks keep theirs.
    """
    if not limits.any():
        return labels
    labels, safe = labels.copy(), sure.union()
    for word in np.flatnonzero(limits).tolist():
        weak = scores.full(word) < limits[word]
        labels[weak & (labels == word) & ~safe] = -1
    return labels


def connected_parts(
    labels: NDArray[np.int16] | NDArray[np.int32],
    scores: NDArray[np.float16],
    words: int,
    *,
    min_area: int,
) -> tuple[Masks, NDArray[np.int64], NDArray[np.float32]]:
    """Return the 8-connected parts of each word with at least ``min_area`` pixels.

    labels: (H, W), index of a word, below 0 for nothing. scores: (H, W) in [0, 1].
    Returns N masks, the word of each (N,), and the mean score inside each (N,); by word, then
    from the largest part to the smallest. Work is linear in the pixels of the words' boxes.
    """
    import cv2

    size_hw = (labels.shape[0], labels.shape[1])
    found: list[Masks] = []
    class_ids: list[int] = []
    means: list[float] = []
    boxes = label_boxes(labels, np.arange(words)).tolist()
    for word, (x0, y0, x1, y1) in enumerate(boxes):
        if x0 == x1:
            continue
        window = (labels[y0:y1, x0:x1] == word).view(np.uint8)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(window, connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        kept = [int(i) for i in np.argsort(-areas, kind="stable") if areas[i] >= min_area]
        if not kept:
            continue
        corners, crops = [], []
        for i in kept:
            left, top, width, height, area = map(int, stats[i + 1])
            crop = parts[top : top + height, left : left + width] == i + 1
            x, y = x0 + left, y0 + top
            inside = scores[y : y + height, x : x + width][crop]
            crops.append(crop)
            corners.append((x, y))
            means.append(float(inside.sum(dtype=np.float64)) / area)
            class_ids.append(word)
        found.append(Masks.from_crops(size_hw, corners, crops))
    masks = Masks.concat(found) if found else Masks.empty(size_hw)
    return masks, np.array(class_ids, np.int64), np.array(means, np.float32)


def mean_scores(
    labels: NDArray[np.int16] | NDArray[np.int32], scores: NDArray[np.float16], words: int
) -> NDArray[np.float32]:
    """Return the mean score of each word over its own pixels, (K,); 0 for a word without any.

    labels: (H, W), index of a word, -1 for nothing. scores: (H, W) in [0, 1].
    """
    sums, pixels = np.zeros(words + 1), np.zeros(words + 1)
    for top in range(0, len(labels), 1024):  # bincount copies to 64 bits
        flat = labels[top : top + 1024].reshape(-1).astype(np.int64) + 1
        weight = scores[top : top + 1024].reshape(-1).astype(np.float32)
        sums += np.bincount(flat, weights=weight, minlength=words + 1)
        pixels += np.bincount(flat, minlength=words + 1)
    return (sums / np.maximum(pixels, 1))[1:].astype(np.float32)


def cut(masks: Masks, labels: NDArray[np.integer], values: NDArray[np.integer]) -> Masks:
    """Return what each mask keeps: its pixels in which the label map has its value, (N,)."""
    crops = (
        masks.crop(i) & (labels[y0:y1, x0:x1] == value)
        for i, ((x0, y0, x1, y1), value) in enumerate(
            zip(masks.boxes_xyxy.tolist(), values.tolist(), strict=True)
        )
    )
    return Masks.from_crops(masks.size_hw, masks.boxes_xyxy[:, :2], crops)
