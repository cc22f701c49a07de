"""Images, maps and axes at other sizes: what several stages resample, in one place.

Fast guided filter (He, Sun and Tang 2013; He and Sun 2015, arXiv 1505.00996): around every place
of the grid a map is a linear function of the picture's colours there; the function's coefficients,
not the map, are enlarged, so that edges of the picture become edges of the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "GridLike", "GuidedFilter", "Window", "bilinear_matrix", "bilinear_taps", "guided_radius",
    "on_grid_of", "pad_to_multiple", "resize_image", "whole_cells", "working_size",
]  # fmt: skip

_SMALL_CELL = 8  # pixels of the scaled image

Floats = NDArray[np.float32]
Window = tuple[int, int, int, int]  # y0, x0, y1, x1


class GridLike(Protocol):
    """Cells that lie on a scaled image of ``work_hw``, ``cell`` pixels each, from its corner."""

    @property
    def cell(self) -> int: ...

    @property
    def work_hw(self) -> tuple[int, int]: ...


def working_size(size_hw: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Return an image's size with its short side scaled to ``short_side``.

    Strips longer than 16 times their width are scaled less, so that work stays bounded.
    """
    scale = short_side / min(size_hw)
    scale = min(scale, (16 * short_side**2 / (size_hw[0] * size_hw[1])) ** 0.5)
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def resize_image(rgb: NDArray[np.uint8], work_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) at another size: means of areas downwards, bilinear upwards."""
    import cv2

    way = cv2.INTER_AREA if work_hw[0] < rgb.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, work_hw[::-1], interpolation=way), np.uint8)


def pad_to_multiple(pixels: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) padded below and right to multiples by the border's own pixels.

    So no edge appears.
    """
    below, right = (-side % multiple for side in pixels.shape[:2])
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")


def bilinear_taps(given: int, wanted: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return which two of ``given`` places each of ``wanted`` lies between, and how far behind the
    first, (wanted,) int64, int64 and float64.

    As torch's ``interpolate`` without aligned corners.
    """
    places = ((torch.arange(wanted, dtype=torch.float64) + 0.5) * given / wanted - 0.5).clamp_min(0)
    lower = places.long()
    return lower, (lower + 1).clamp_max(given - 1), places - lower


def bilinear_matrix(given: int, wanted: int) -> Tensor:
    """Return the same as a matrix, (wanted, given) float64."""
    lower, upper, part = bilinear_taps(given, wanted)
    matrix = torch.zeros(wanted, given, dtype=torch.float64)
    rows = torch.arange(wanted)
    matrix[rows, lower] += 1 - part
    matrix[rows, upper] += part
    return matrix


def on_grid_of(other: GridLike, maps: Tensor, grid: GridLike) -> Tensor:
    """Return maps (K, h, w) on the cells of another grid of the same image, bilinear."""
    counts = (-(-side // other.cell) for side in other.work_hw)
    cells = (torch.arange(n) + 0.5 for n in counts)
    return _at(
        maps, grid, *(c * other.cell / side for c, side in zip(cells, other.work_hw, strict=True))
    )


def whole_cells(maps: Tensor, grid: GridLike) -> Tensor:
    """Return maps (K, h, w) on about as many cells that end where the image ends."""
    if all(side % grid.cell == 0 for side in grid.work_hw):
        return maps
    counts = (max(1, round(side / grid.cell)) for side in grid.work_hw)
    return _at(maps, grid, *((torch.arange(n) + 0.5) / n for n in counts))


def _at(maps: Tensor, grid: GridLike, rows: Tensor, columns: Tensor) -> Tensor:
    """Values at places given as parts of the image's height and width, (K, rows, columns)."""
    h, w = maps.shape[1:]  # cells, of which the last may reach over the image's border
    y = rows * (grid.work_hw[0] / grid.cell / h * 2) - 1
    x = columns * (grid.work_hw[1] / grid.cell / w * 2) - 1
    places = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None].to(maps.device)
    return F.grid_sample(
        maps[None], places, mode="bilinear", padding_mode="border", align_corners=False
    )[0]


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

    2 was the best over five sets with cells of 4 pixels (benchmarks' row ``guided-filter``); windows
    of larger cells would reach over several things.
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
