"""Blurring what was meant."""

from __future__ import annotations

from dataclasses import dataclass

from lexiseg.editing.blend import blended, colours_of
from lexiseg.editing.outcome import Outcome
from lexiseg.editing.region import Scene, region
from lexiseg.editing.window import extent, with_margin
from lexiseg.errors import OptionError

__all__ = ["SUMMARY", "Config", "edit"]

SUMMARY = "blur what was meant"


@dataclass(frozen=True)
class Config:
    """How strongly it is blurred.

    radius: standard deviation of the Gaussian in pixels; None: an eighth of the shorter side of
        what was meant.
    dilation, blur: pixels of the region's border.
    """

    radius: float | None = None
    dilation: int = 0
    blur: int = 2


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with the region blurred."""
    import cv2

    mask = scene.mask
    radius = max(2.0, extent(mask) / 8) if config.radius is None else config.radius
    if not 0 < radius <= 1000:
        raise OptionError(f"radius is {radius:g}; give pixels above 0, at most 1000")
    where = region(mask, dilation=config.dilation, blur=config.blur)
    colours, inner = with_margin(colours_of(scene.picture), where, round(3 * radius) + 1)
    soft = cv2.GaussianBlur(colours, (0, 0), radius, borderType=cv2.BORDER_REPLICATE)
    return Outcome((blended(scene.picture, where, soft[inner]),))
