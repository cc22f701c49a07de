"""Images, grids and axes at other sizes: what several stages resample, in one place."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "GridLike", "bilinear_matrix", "bilinear_taps", "on_grid_of", "pad_to_multiple",
    "resize_image", "whole_cells", "working_size",
]  # fmt: skip


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
