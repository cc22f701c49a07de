"""The mask itself: white what was meant, black all else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexiseg.edit.region import Outcome, Region, Scene
from lexiseg.imaging import Picture

__all__ = ["SUMMARY", "Config", "edit"]

SUMMARY = "white what was meant, black all else"


@dataclass(frozen=True)
class Config:
    """How the mask is drawn.

    dilation: pixels by which it grows.
    blur: pixels over which it fades to black.
    """

    dilation: int = 0
    blur: int = 0


def edit(scene: Scene, config: Config) -> Outcome:
    """Return a grey picture of the scene's size, values 0 to 255."""
    where = Region.from_mask(scene.mask, dilation=config.dilation, blur=config.blur)
    grey = np.zeros(scene.picture.size_hw, np.uint8)
    grey[where.window] = np.rint(255 * where.weight).astype(np.uint8)
    rgb = np.ascontiguousarray(grey[:, :, None].repeat(3, axis=2))
    return Outcome((Picture(rgb, mode="L", path=scene.picture.path),))
