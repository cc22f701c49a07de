"""Removing what was meant: a colour, or what may lie behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexiseg.editing.blend import blended
from lexiseg.editing.colours import is_colour, parse_colour
from lexiseg.editing.drawn import Drawn, drawn
from lexiseg.editing.fills import FILLS
from lexiseg.editing.holes import without
from lexiseg.editing.outcome import Outcome
from lexiseg.editing.region import Scene, border, region
from lexiseg.errors import UnknownName

__all__ = ["SUMMARY", "Config", "edit"]

SUMMARY = "remove what was meant, and fill the hole"


@dataclass(frozen=True)
class Config(Drawn):
    """What comes in its place.

    fill: "auto" (by the depth of the hole), "exemplar", "shift-map", "fsr", "telea", "biharmonic",
        "smooth"; or a colour, "black" or "#rrggbb", which covers the mask as it is.
    dilation: pixels by which the hole is larger than the mask, for shadows and inexact masks; None:
        5, and more in photos of more than 640 pixels, in proportion.
    blur: pixels over which new and old mix; None: 8, and more in the same way.
    prompt: what a model that takes words is asked for.
    model: a network in place of the fill: "big-lama", "sd-2-inpainting"; None: no network.
    steps, guidance, negative, seeds, context, progress: of that network, see `Drawn`.
    """

    fill: str = "auto"
    dilation: int | None = None
    blur: int | None = None
    prompt: str = "empty background"


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture without what was meant."""
    dilation, blur = border(
        config.dilation, config.blur, scene.picture.size_hw, generous=True
    )  # fmt: skip
    if config.model is not None:
        where = region(scene.mask, dilation=dilation, blur=blur)
        return drawn(scene.picture, where, config.prompt, config)
    if config.fill != "auto" and config.fill not in FILLS:
        if not is_colour(config.fill):
            raise UnknownName.among("fill", config.fill, ["auto", *FILLS, "black", "#rrggbb"])
        where = region(scene.mask)
        colours = np.empty((*where.mask.shape, 3), np.uint8)
        colours[:] = parse_colour(config.fill)
        return Outcome((blended(scene.picture, where, colours),))
    where = region(scene.mask, dilation=dilation, blur=blur)
    colours, alpha, name = without(scene.picture, where, config.fill)
    return Outcome((blended(scene.picture, where, colours, alpha),), notes=(f"filled by {name}",))
