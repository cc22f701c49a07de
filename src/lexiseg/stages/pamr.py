"""Pixel-adaptive mask refinement: maps flow between pixels of like colour.

PAMR (Araslanov and Roth, CVPR 2020, arXiv 2005.08104), with the settings of SCLIP and NACLIP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Pamr", "affinities", "pamr", "resampled_pixels"]

_AT_ONCE = 250_000  # pixels, of about 160 floats each while neighbours are compared (160 MB)
_AROUND = [(y, x) for y in (0, 1, 2) for x in (0, 1, 2) if (y, x) != (1, 1)]


@dataclass(frozen=True, eq=False)
class Pamr:
    """PAMR on one image, whole or in bands of rows, so that large ones need little memory.

    pixels: (3, H, W) float. steps: how often maps flow, a step as far as the largest dilation.
    """

    pixels: Tensor
    steps: int = 10
    dilations: tuple[int, ...] = (8, 16)

    @property
    def reach(self) -> int:
        """How many rows away a pixel still has an effect."""
        return self.steps * max(self.dilations)

    def rows(self, part: slice) -> Callable[[Tensor], Tensor]:
        """What refines maps of some rows, (C, h, W); those within ``reach`` of a cut are wrong."""
        alike = affinities(self.pixels[:, part], self.dilations)
        return partial(pamr, alike=alike, steps=self.steps, dilations=self.dilations)

    def __call__(self, maps: Tensor) -> Tensor:
        return self.rows(slice(None))(maps)


def resampled_pixels(rgb: NDArray[np.uint8], work_hw: tuple[int, int]) -> Tensor:
    """Return an image (H, W, 3) scaled to ``work_hw`` and back, as the papers give it to PAMR.

    (3, H, W) float32 in [0, 255]. Their code normalises the channels first, which changes
    no affinity: differences are divided by a deviation of the same channel.
    """
    import cv2

    scaled = np.asarray(cv2.resize(rgb, work_hw[::-1], interpolation=cv2.INTER_LINEAR))
    pixels = torch.from_numpy(scaled).permute(2, 0, 1)[None].float()
    return F.interpolate(pixels, size=rgb.shape[:2], mode="bilinear")[0]


def affinities(pixels: Tensor, dilations: Sequence[int] = (8, 16)) -> Tensor:
    """How alike each pixel and its neighbours are, (8 * dilations, H, W), summing to 1.

    pixels: (3, H, W) float. Neighbours are the eight at each distance, borders repeated. Per
    channel the difference is divided by a tenth of the standard deviation of all neighbours
    (the pixel itself among them, once a dilation); the softmax is over minus its mean.
    """
    height, width = pixels.shape[1:]
    padded = [F.pad(pixels[None], [d] * 4, mode="replicate")[0] for d in dilations]
    alike = pixels.new_empty(8 * len(dilations), height, width)
    rows = max(1, _AT_ONCE // width)
    for top in range(0, height, rows):
        band = pixels[:, None, top : top + rows]
        around = torch.stack(
            [
                _shifted(plane, y, x, dilation)[:, top : top + rows]
                for plane, dilation in zip(padded, dilations, strict=True)
                for y, x in _AROUND
            ],
            1,
        )
        everything = torch.cat([around, band.expand(-1, len(dilations), -1, -1)], 1)
        spread = everything.std(1, keepdim=True)
        far = (around - band).abs() / (1e-8 + 0.1 * spread)
        alike[:, top : top + rows] = (-far.mean(0)).softmax(0)
    return alike


def pamr(
    maps: Tensor, alike: Tensor, steps: int = 10, dilations: Sequence[int] = (8, 16)
) -> Tensor:
    """Each step gives a pixel the mean of its neighbours, weighted by ``alike``; (C, H, W)."""
    for _ in range(steps):
        mixed = torch.zeros_like(maps)
        planes = iter(alike)
        for dilation in dilations:
            padded = F.pad(maps[None], [dilation] * 4, mode="replicate")[0]
            for y, x in _AROUND:
                mixed.addcmul_(next(planes), _shifted(padded, y, x, dilation))
        maps = mixed
    return maps


def _shifted(padded: Tensor, y: int, x: int, dilation: int) -> Tensor:
    height, width = padded.shape[1] - 2 * dilation, padded.shape[2] - 2 * dilation
    return padded[:, y * dilation : y * dilation + height, x * dilation : x * dilation + width]
