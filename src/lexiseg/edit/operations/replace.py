"""Replacing what was meant: by a colour, or by another picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.edit.blend import blended
from lexiseg.edit.colour import is_colour, parse_colour, transfer_colours
from lexiseg.edit.fill_region import fill_region
from lexiseg.edit.fit_picture import contain, cover, poisson_blend
from lexiseg.edit.generative import Generation, generate
from lexiseg.edit.region import Outcome, Region, Scene, border_widths
from lexiseg.edit.xmp import COMPOSITE
from lexiseg.errors import OptionError
from lexiseg.imaging import Picture

__all__ = ["SUMMARY", "Config", "edit"]

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif")
SUMMARY = "replace what was meant by a picture, a colour, or what words describe"


@dataclass(frozen=True)
class Config(Generation):
    """What comes in its place, and how it is fitted in.

    with_: a colour, a picture (path, PIL, array), or words, for the model to make. A picture
        without transparency covers the region; one with transparency, such as a cut-out, is stood
        into it, after the old thing is removed.
    match: how far its colours move towards those that were there, in [0, 1].
    bleed: how far the rim's colours reach into it, as a part of the region's depth: 0 not at all,
        1 all through, which is Poisson blending.
    instances: cut-outs stand for each instance, not once for all.
    dilation, blur: pixels of the region's border; None: 0 and 3, and as `remove` where a hole
        is made first.
    model: the network for words; None: "sd-2-inpainting".
    steps, guidance, negative, seeds, context, progress: of that network, see `Generation`.
    """

    with_: Any = "grey"
    match: float = 0.3
    bleed: float = 0.3
    instances: bool = False
    dilation: int | None = None
    blur: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("match", "bleed"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name):g}; give a number from 0 to 1")

    def text_prompt(self) -> str | None:
        """Return what a network is asked for; None where a picture or a colour comes in.

        What could be a file is one: its suffix is a picture's, or it is there.
        """
        text = self.with_
        if not isinstance(text, str):
            return None
        if self.model is not None:
            return text
        if is_colour(text) or Path(text).suffix.lower() in _PICTURES or os.path.exists(text):
            return None
        return text


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with the region replaced."""
    prompt = config.text_prompt()
    size_hw = scene.picture.size_hw
    dilation, blur = border_widths(
        config.dilation, config.blur, size_hw, generous=prompt is not None
    )
    where = Region.from_mask(scene.mask, dilation=dilation, blur=blur)
    if prompt is not None:
        return generate(scene.picture, where, prompt, config)
    if isinstance(config.with_, str) and is_colour(config.with_):
        colours = np.empty((*where.mask.shape, 3), np.uint8)
        colours[:] = parse_colour(config.with_)
        return Outcome((blended(scene.picture, where, colours),))
    other = imaging.read(config.with_)
    if other.alpha is not None and (other.alpha < 255).any():
        return Outcome((_stood(scene, other, config),), COMPOSITE)
    where = where.padded(size_hw, 1)  # a rim that new and old can agree on
    old = scene.picture.rgb[where.window]
    new = cover(other, where.mask.shape)[..., :3]
    flat = np.ones(where.mask.shape, np.float32)
    new = transfer_colours(new, flat, old, where.mask.astype(np.float32), config.match)
    new = poisson_blend(new, old, where, config.bleed)
    return Outcome((blended(scene.picture, where, new),), COMPOSITE)


def _stood(scene: Scene, other: Picture, config: Config) -> Picture:
    """Remove what was meant, and stand a cut-out in its place."""
    size_hw = scene.picture.size_hw
    dilation, blur = border_widths(config.dilation, config.blur, size_hw, generous=True)
    hole = Region.from_mask(scene.mask, dilation=dilation, blur=blur)
    filled = fill_region(scene.picture, hole)
    clean = blended(scene.picture, hole, filled.rgb, filled.alpha)
    for mask in scene.masks if config.instances else (scene.mask,):
        clean = _put(clean, scene.picture.rgb, mask, other, config.match)
    return clean


def _put(
    clean: Picture, old: NDArray[np.uint8], mask: NDArray[np.bool_], other: Picture, match: float
) -> Picture:
    """Stand a cut-out into the box of a mask, under the light that was there."""
    place = Region.from_mask(mask)
    rgba = contain(other, place.mask.shape)
    opacity = np.asarray(rgba[..., 3] / 255, np.float32)
    new = transfer_colours(
        rgba[..., :3].copy(), opacity, old[place.window], place.mask.astype(np.float32), match
    )
    own = None if clean.alpha is None else np.full(opacity.shape, 255, np.uint8)
    return blended(clean, Region(place.box_xyxy, opacity, opacity > 0), new, own)
