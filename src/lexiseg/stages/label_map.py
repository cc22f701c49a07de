"""Label maps at the image's size, made of probabilities on a grid of cells, in tiles.

Nothing here holds words times pixels at once: probabilities stay on the coarse grid, and the image
is labelled tile by tile, one class after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.stages.guided_filter import GuidedFilter, Window
from lexiseg.stages.merge import Labels

__all__ = ["LabelMap", "empty_labels", "label_map"]

_TILE = 16  # cells a side
_AT_ONCE = 250_000  # pixels, of about 16 floats each while they are labelled (16 MB)
_WIDEST = 8_192  # pixels; cv2.remap counts them in 16 bits


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
    on_host = probabilities.cpu()
    classes, winners = np.unique(on_host.argmax(0).numpy(), return_inverse=True)
    maps = on_host.numpy()[classes]
    coefficients, reach = guide.fit(maps), guide.reach
    classes = classes.astype(labels.dtype)
    for (i0, j0, i1, j1), window in _tiles(guide, winners.shape):
        near = winners[max(0, i0 - reach) : i1 + reach, max(0, j0 - reach) : j1 + reach]
        rivals = np.unique(near)
        y0, x0, y1, x1 = window
        planes = guide.apply(coefficients[rivals], window)
        best = next(planes)
        label = np.full(best.shape, classes[rivals[0]])
        for rival, values in zip(rivals[1:], planes, strict=True):
            np.copyto(label, classes[rival], where=values > best)
            np.maximum(best, values, out=best)
        np.clip(best, 0, 1, out=best)
        if thresholds is not None:
            label[best < thresholds[label]] = -1
        labels[y0:y1, x0:x1], scores[y0:y1, x0:x1] = label, best
    return LabelMap(labels, scores)


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
