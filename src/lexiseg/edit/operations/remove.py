"""Removing what was meant: a colour, or what may lie behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexiseg.edit.blend import blended
from lexiseg.edit.colour import is_colour, parse_colour
from lexiseg.edit.fill_region import fill_region
from lexiseg.edit.fills import FILLS
from lexiseg.edit.generative import Generation, generate
from lexiseg.edit.region import Outcome, Region, Scene, border_widths
from lexiseg.errors import UnknownName

__all__ = ["SUMMARY", "Config", "edit"]

SUMMARY = "remove what was meant, and fill the hole"


@dataclass(frozen=True)
class Config(Generation):
    """What comes in its place.

    fill: "auto" (by the depth of the hole), "exemplar", "shift-map", "fsr", "telea", "biharmonic",
        "smooth"; or a colour, "black" or "#rrggbb", which covers the mask as it is.
    dilation: pixels by which the hole is larger than the mask, for shadows and inexact masks; None:
        5, and more in photos of more than 640 pixels, in proportion.
    blur: pixels over which new and old mix; None: 8, and more in the same way.
    prompt: what a model that takes words is asked for.
    model: a network in place of the fill: "big-lama", "sd-2-inpainting"; None: no network.
    steps, guidance, negative, seeds, context, progress: of that network, see `Generation`.
    """

    fill: str = "auto"
    dilation: int | None = None
    blur: int | None = None
    prompt: str = "empty background"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fill not in ("auto", *FILLS) and not is_colour(self.fill):
            raise UnknownName.among("fill", self.fill, ["auto", *FILLS, "black", "#rrggbb"])

    def text_prompt(self) -> str | None:
        """Return what a network is asked for, where one is named."""
        return None if self.model is None else self.prompt


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture without what was meant."""
    prompt, picture = config.text_prompt(), scene.picture
    if prompt is None and config.fill not in ("auto", *FILLS):
        where = Region.from_mask(scene.mask)
        colours = np.empty((*where.mask.shape, 3), np.uint8)
        colours[:] = parse_colour(config.fill)
        return Outcome((blended(picture, where, colours),))
    dilation, blur = border_widths(config.dilation, config.blur, picture.size_hw, generous=True)
    where = Region.from_mask(scene.mask, dilation=dilation, blur=blur)
    if prompt is not None:
        return generate(picture, where, prompt, config)
    filled = fill_region(picture, where, config.fill, avoid=scene.alike)
    clean = blended(picture, where, filled.rgb, filled.alpha)
    return Outcome((clean,), notes=(f"filled by {filled.fill}",))
