"""Blurring what was meant."""

from __future__ import annotations

from dataclasses import dataclass

from lexiseg.edit.blend import blended, colours_of
from lexiseg.edit.gaussian import check_radius, gaussian_blur
from lexiseg.edit.region import Outcome, Region, Scene, crop_with_margin, shorter_side

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

    def __post_init__(self) -> None:
        if self.radius is not None:
            check_radius(self.radius)


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with the region blurred."""
    mask = scene.mask
    radius = config.radius or min(1000.0, max(2.0, shorter_side(mask) / 8))
    where = Region.from_mask(mask, dilation=config.dilation, blur=config.blur)
    colours, inner = crop_with_margin(colours_of(scene.picture), where, round(3 * radius) + 1)
    return Outcome((blended(scene.picture, where, gaussian_blur(colours, radius)[inner]),))
