"""Dense features of a picture of any size: scaled, padded, and looked at through windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.protocols import Encoder

__all__ = ["Features", "Window", "encode", "plan"]

Window = tuple[int, int, int, int]  # y0, x0, y1, x1 in the working picture


@dataclass(frozen=True)
class Features:
    """Features of a picture on a grid, as a value: a second prompt costs no second encoding.

    grid: (h, w, D), unit length. cell: working pixels a cell. work_hw: the working picture's size,
    which may end inside the last cells. size_hw: the picture's own size. windows: what was looked
    at, in working pixels.
    """

    grid: Tensor
    cell: int
    work_hw: tuple[int, int]
    size_hw: tuple[int, int]
    windows: tuple[Window, ...]

    @property
    def extent_hw(self) -> tuple[float, float]:
        """The picture's size in cells."""
        return self.work_hw[0] / self.cell, self.work_hw[1] / self.cell


def working_size(size_hw: tuple[int, int], short_side: int) -> tuple[int, int]:
    """The picture's size with its short side scaled to ``short_side``.

    Strips longer than 16 times their width are scaled less, so that work stays bounded.
    """
    scale = short_side / min(size_hw)
    scale = min(scale, (16 * short_side**2 / (size_hw[0] * size_hw[1])) ** 0.5)
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def plan(work_hw: tuple[int, int], window: int, overlap: float) -> tuple[Window, ...]:
    """Windows of at most ``window`` pixels a side that cover the working picture.

    One window where it fits; else equal steps with at least ``overlap`` of a window shared.
    """

    def starts(length: int) -> list[tuple[int, int]]:
        if length <= window:
            return [(0, length)]
        count = int(np.ceil((length - window) / (window * (1 - overlap)))) + 1
        return [
            (int(s), int(s) + window)
            for s in np.round(np.linspace(0, length - window, count)).astype(int)
        ]

    return tuple((y0, x0, y1, x1) for y0, y1 in starts(work_hw[0]) for x0, x1 in starts(work_hw[1]))


def _scaled(rgb: NDArray[np.uint8], work_hw: tuple[int, int]) -> NDArray[np.uint8]:
    import cv2

    way = cv2.INTER_AREA if work_hw[0] < rgb.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, work_hw[::-1], interpolation=way), np.uint8)


def encode(
    encoder: Encoder,
    rgb: NDArray[np.uint8],
    *,
    short_side: int,
    window: int,
    overlap: float = 0.25,
    flip: bool = False,
    batch: int = 4,
) -> Features:
    """Look at a picture (H, W, 3) through the encoder.

    Windows of one size go through together, ``batch`` at a time; where they overlap, features are
    averaged with weights that fall towards a window's border. ``flip`` averages with the mirrored
    picture's features.
    """
    size_hw = (rgb.shape[0], rgb.shape[1])
    work_hw = working_size(size_hw, short_side)
    picture = _scaled(rgb, work_hw)
    windows = plan(work_hw, window, overlap)
    grids: list[Tensor] = []
    for start in range(0, len(windows), batch):
        part = [picture[y0:y1, x0:x1] for y0, x0, y1, x1 in windows[start : start + batch]]
        pixels = torch.from_numpy(np.stack([_padded(p, encoder.size.multiple) for p in part]))
        features = encoder.dense(pixels)
        if flip:
            # Mirrored pixels keep the padding on the right, so mirror the window, not the result.
            mirrored = np.stack([_padded(p[:, ::-1], encoder.size.multiple) for p in part])
            other = encoder.dense(torch.from_numpy(mirrored))
            cell = pixels.shape[2] // features.shape[2]
            inside = -(-part[0].shape[1] // cell)
            features[:, :, :inside] += other[:, :, :inside].flip(2)
            features = F.normalize(features, dim=-1)
        grids.extend(features)
    cell = _padded_side(windows[0][2] - windows[0][0], encoder.size.multiple) // grids[0].shape[0]
    grid = _blend(grids, windows, work_hw, cell)
    return Features(grid, cell, work_hw, size_hw, windows)


def _padded_side(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _padded(pixels: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Pad below and right by the border's own pixels, so that no edge appears there."""
    h, w = pixels.shape[:2]
    below, right = _padded_side(h, multiple) - h, _padded_side(w, multiple) - w
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")


def _blend(
    grids: list[Tensor], windows: tuple[Window, ...], work_hw: tuple[int, int], cell: int
) -> Tensor:
    h, w = -(-work_hw[0] // cell), -(-work_hw[1] // cell)
    if len(grids) == 1:
        return grids[0][:h, :w]
    total = torch.zeros(h, w, grids[0].shape[-1], device=grids[0].device)
    for grid, (y0, x0, y1, x1) in zip(grids, windows, strict=True):
        top, left = round(y0 / cell), round(x0 / cell)
        rows, columns = min(-(-(y1 - y0) // cell), h - top), min(-(-(x1 - x0) // cell), w - left)
        weight = _tent(rows)[:, None] * _tent(columns)[None]
        total[top : top + rows, left : left + columns] += grid[:rows, :columns] * weight[
            ..., None
        ].to(grid.device)
    return F.normalize(total, dim=-1)


def _tent(length: int) -> Tensor:
    """Weights that fall from the middle to the border, above zero everywhere."""
    place = (torch.arange(length) + 0.5) / length
    return 0.05 + torch.minimum(place, 1 - place)
