"""The mask itself: white what was meant, black the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexiseg.editing.outcome import Outcome
from lexiseg.editing.region import Scene, region
from lexiseg.imaging import Picture

__all__ = ["SUMMARY", "Config", "edit"]

SUMMARY = "white what was meant, black the rest"


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
    where = region(scene.mask, dilation=config.dilation, blur=config.blur)
    grey = np.zeros(scene.picture.size_hw, np.uint8)
    grey[where.window] = np.rint(255 * where.weight).astype(np.uint8)
    rgb = np.ascontiguousarray(grey[:, :, None].repeat(3, axis=2))
    return Outcome((Picture(rgb, mode="L", path=scene.picture.path),))
