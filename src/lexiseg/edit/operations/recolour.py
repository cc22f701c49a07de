"""Another colour, under the same light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexiseg.edit.blend import blended, colours_of
from lexiseg.edit.colour import from_linear, luminance, parse_colour, to_linear
from lexiseg.edit.region import Outcome, Region, Scene
from lexiseg.errors import OptionError

__all__ = ["SUMMARY", "Config", "edit"]

SUMMARY = "give what was meant another colour, and keep its shading"


@dataclass(frozen=True)
class Config:
    """Which colour, and how much of it.

    colour: a name as in CSS, or "#rrggbb".
    strength: 1 replaces the old colour, 0 keeps it.
    dilation, blur: pixels of the region's border.
    """

    colour: str = "red"
    strength: float = 1.0
    dilation: int = 0
    blur: int = 2

    def __post_init__(self) -> None:
        parse_colour(self.colour)
        if not 0 <= self.strength <= 1:
            raise OptionError(f"strength is {self.strength:g}; give a number from 0 to 1")


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with the region in the colour.

    Shading is a pixel's luminance over the region's median, in linear light. Darker pixels take so
    much of the colour; brighter ones go on from it towards white, so that highlights stay.
    """
    where = Region.from_mask(scene.mask, dilation=config.dilation, blur=config.blur)
    old = colours_of(scene.picture)[where.window]
    linear = to_linear(old)
    light = luminance(linear)
    shading = (light / max(float(np.median(light[where.mask])), 1e-4))[..., None]
    wanted = to_linear(np.array(parse_colour(config.colour), np.uint8)[None, None])
    dark = wanted * np.minimum(shading, 1)
    bright = (1 - wanted) * (1 - 1 / np.maximum(shading, 1))
    new = linear + config.strength * (dark + bright - linear)
    return Outcome((blended(scene.picture, where, from_linear(new, old.dtype)),))
