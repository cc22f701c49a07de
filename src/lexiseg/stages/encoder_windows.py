"""Dense features of a picture of any size: scaled, padded, and looked at through windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.protocols import BackboneEncoder, BackboneMaps, Encoder

__all__ = [
    "Features",
    "Window",
    "encode_image",
    "pad_to_multiple",
    "plan_windows",
    "resize_image",
    "working_size",
]

Window = tuple[int, int, int, int]  # y0, x0, y1, x1 in the working picture


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a picture on a grid, as a value: a second prompt costs no second encoding.

    grid: (h, w, D), unit length. cell: working pixels a cell. work_hw: the working picture's size,
    which may end inside the last cells. size_hw: the picture's own size. windows: what was looked
    at, in working pixels. maps: of the encoder's backbone, where the picture was one window; a
    mask model that stands on the same backbone takes them.
    """

    grid: Tensor
    cell: int
    work_hw: tuple[int, int]
    size_hw: tuple[int, int]
    windows: tuple[Window, ...]
    maps: BackboneMaps | None = None


def working_size(size_hw: tuple[int, int], short_side: int) -> tuple[int, int]:
    """The picture's size with its short side scaled to ``short_side``.

    Strips longer than 16 times their width are scaled less, so that work stays bounded.
    """
    scale = short_side / min(size_hw)
    scale = min(scale, (16 * short_side**2 / (size_hw[0] * size_hw[1])) ** 0.5)
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def plan_windows(
    work_hw: tuple[int, int], window: int, overlap: float, multiple: int
) -> tuple[Window, ...]:
    """Windows of about ``window`` pixels a side that cover the working picture.

    One window where it fits; else nearly equal steps with at least ``overlap`` of a window shared.
    Starts are multiples of ``multiple``, and so are sides (``window`` is rounded down), so that
    the cells of all windows lie on one grid; the last window may end sooner, with the picture.
    """
    side = max(1, window // multiple)  # in units of ``multiple``, as are starts and steps
    step = max(1, int(side * (1 - overlap)))

    def spans(length: int) -> list[tuple[int, int]]:
        last = max(0, -(-length // multiple) - side)
        starts = np.linspace(0, last, -(-last // step) + 1).round().astype(int) * multiple
        return [(start, min(start + side * multiple, length)) for start in starts.tolist()]

    return tuple((y0, x0, y1, x1) for y0, y1 in spans(work_hw[0]) for x0, x1 in spans(work_hw[1]))


def resize_image(rgb: NDArray[np.uint8], work_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture (H, W, 3) at another size: means of areas downwards, bilinear upwards."""
    import cv2

    way = cv2.INTER_AREA if work_hw[0] < rgb.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, work_hw[::-1], interpolation=way), np.uint8)


def pad_to_multiple(pixels: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Pad (H, W, 3) below and right to multiples by the border's own pixels: no edge appears."""
    below, right = (-side % multiple for side in pixels.shape[:2])
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")


def encode_image(
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

    Windows go through together, ``batch`` at a time; where they overlap, features are averaged
    with weights that fall towards a window's border. ``flip`` averages with the mirrored picture's
    features.
    """
    size_hw = (rgb.shape[0], rgb.shape[1])
    work_hw = working_size(size_hw, short_side)
    picture = resize_image(rgb, work_hw)
    multiple = encoder.size.multiple
    windows = plan_windows(work_hw, window, overlap, multiple)
    grid, cell = torch.empty(0), 1
    for start in range(0, len(windows), batch):
        part = windows[start : start + batch]
        views = [pad_to_multiple(picture[y0:y1, x0:x1], multiple) for y0, x0, y1, x1 in part]
        pixels, maps = torch.from_numpy(np.stack(views)), None
        if len(windows) == 1 and isinstance(encoder, BackboneEncoder):
            maps = encoder.backbone_maps(pixels, work_hw)
            features = encoder.features(maps)
        else:
            features = encoder.dense(pixels)
        if flip:
            # The padding is mirrored too: so cells fall on cells.
            mirrored = encoder.dense(pixels.flip(2)).flip(2)
            features = F.normalize(features + mirrored, dim=-1)
        cell = pixels.shape[1] // features.shape[1]
        h, w = -(-work_hw[0] // cell), -(-work_hw[1] // cell)
        if len(windows) == 1:
            return Features(features[0, :h, :w], cell, work_hw, size_hw, windows, maps)
        if start == 0:
            grid = features.new_zeros(h, w, features.shape[-1])
        for values, (y0, x0, _, _) in zip(features, part, strict=True):
            _add(grid[y0 // cell :, x0 // cell :], values)
    return Features(F.normalize(grid, dim=-1), cell, work_hw, size_hw, windows)


def _add(grid: Tensor, values: Tensor) -> None:
    """Add a window's features (h, w, D), weighted, to the top left corner of ``grid``, in place.

    Cells of padding that reach over the grid are left out.
    """
    h, w = min(values.shape[0], grid.shape[0]), min(values.shape[1], grid.shape[1])
    weight = (_tent(h)[:, None] * _tent(w))[..., None]
    grid[:h, :w] += values[:h, :w] * weight.to(grid.device)


def _tent(length: int) -> Tensor:
    """Weights that fall from the middle to the border, above zero everywhere."""
    place = (torch.arange(length) + 0.5) / length
    return 0.05 + torch.minimum(place, 1 - place)
