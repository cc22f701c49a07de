"""Coarse blocks over what was meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexiseg.edit.blend import blended, colours_of
from lexiseg.edit.region import Outcome, Region, Scene, shorter_side
from lexiseg.errors import OptionError

__all__ = ["SUMMARY", "Config", "edit"]

SUMMARY = "cover what was meant with coarse blocks"


@dataclass(frozen=True)
class Config:
    """How coarse the blocks are.

    block: side of a block in pixels; None: an eighth of the shorter side of what was meant, at
        least 4.
    dilation: pixels by which the region grows.
    """

    block: int | None = None
    dilation: int = 0

    def __post_init__(self) -> None:
        if self.block is not None and not 1 <= self.block <= 10_000:
            raise OptionError(f"block is {self.block}; give pixels from 1 to 10000")


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with each block, counted from the region's corner, of its mean colour."""
    mask = scene.mask
    side = config.block or max(4, shorter_side(mask) // 8)
    where = Region.from_mask(mask, dilation=config.dilation)
    colours = colours_of(scene.picture)[where.window]
    height, width = colours.shape[:2]
    rows, columns = np.arange(0, height, side), np.arange(0, width, side)
    sums = np.add.reduceat(np.add.reduceat(colours, rows, 0, np.int64), columns, 1)
    tall = np.diff(np.append(rows, height))[:, None, None]
    wide = np.diff(np.append(columns, width))[None, :, None]
    means = np.rint(sums / (tall * wide)).astype(colours.dtype)
    blocks = means[np.arange(height) // side][:, np.arange(width) // side]
    return Outcome((blended(scene.picture, where, blocks),))
