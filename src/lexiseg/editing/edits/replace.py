"""Replacing what was meant: by a colour, or by another picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.editing.blend import blended
from lexiseg.editing.colours import is_colour, parse_colour
from lexiseg.editing.drawn import Drawn, drawn
from lexiseg.editing.fills.membrane import membrane
from lexiseg.editing.holes import without
from lexiseg.editing.mark import COMPOSITE
from lexiseg.editing.outcome import Outcome
from lexiseg.editing.region import Region, Scene, border, region
from lexiseg.editing.sources import covering, inside, like
from lexiseg.editing.window import grown
from lexiseg.errors import OptionError
from lexiseg.imaging import Picture

__all__ = ["SUMMARY", "Config", "edit", "poisson", "worded"]

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif")
SUMMARY = "replace what was meant by a picture, a colour, or what words describe"


@dataclass(frozen=True)
class Config(Drawn):
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
    steps, guidance, negative, seeds, context, progress: of that network, see `Drawn`.
    """

    with_: Any = "grey"
    match: float = 0.3
    bleed: float = 0.3
    instances: bool = False
    dilation: int | None = None
    blur: int | None = None


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with the region replaced."""
    for name in ("match", "bleed"):
        if not 0 <= getattr(config, name) <= 1:
            raise OptionError(f"{name} is {getattr(config, name):g}; give a number from 0 to 1")
    words = worded(config)
    size_hw = scene.picture.size_hw
    dilation, blur = border(config.dilation, config.blur, size_hw, generous=words is not None)
    where = region(scene.mask, dilation=dilation, blur=blur)
    if words is not None:
        return drawn(scene.picture, where, words, config)
    if isinstance(config.with_, str) and is_colour(config.with_):
        colours = np.empty((*where.mask.shape, 3), np.uint8)
        colours[:] = parse_colour(config.with_)
        return Outcome((blended(scene.picture, where, colours),))
    other = imaging.read(config.with_)
    if other.alpha is not None and (other.alpha < 255).any():
        return Outcome((_stood(scene, other, config),), COMPOSITE)
    where = grown(where, scene.picture.size_hw, 1)  # a rim that new and old can agree on
    old = scene.picture.rgb[where.window]
    new = covering(other, where.mask.shape)[..., :3]
    flat = np.ones(where.mask.shape, np.float32)
    new = like(new, flat, old, where.mask.astype(np.float32), config.match)
    new = poisson(new, old, where, config.bleed)
    return Outcome((blended(scene.picture, where, new),), COMPOSITE)


def worded(config: Config) -> str | None:
    """Return what the model is asked for; None where a picture or a colour comes in.

    What could be a file is one: its suffix is a picture's, or it is there.
    """
    text = config.with_
    if not isinstance(text, str):
        return None
    if config.model is not None:
        return text
    if is_colour(text) or Path(text).suffix.lower() in _PICTURES or Path(text).exists():
        return None
    return text


def _stood(scene: Scene, other: Picture, config: Config) -> Picture:
    """Remove what was meant, and stand a cut-out in its place."""
    size_hw = scene.picture.size_hw
    dilation, blur = border(config.dilation, config.blur, size_hw, generous=True)
    hole = region(scene.mask, dilation=dilation, blur=blur)
    colours, alpha, _ = without(scene.picture, hole)
    clean = blended(scene.picture, hole, colours, alpha)
    for mask in scene.masks if config.instances else (scene.mask,):
        clean = _put(clean, scene.picture.rgb, mask, other, config.match)
    return clean


def _put(
    clean: Picture, old: NDArray[np.uint8], mask: NDArray[np.bool_], other: Picture, match: float
) -> Picture:
    """Stand a cut-out into the box of a mask, under the light that was there."""
    place = region(mask)
    rgba = inside(other, place.mask.shape)
    opacity = np.asarray(rgba[..., 3] / 255, np.float32)
    new = like(
        rgba[..., :3].copy(), opacity, old[place.window], place.mask.astype(np.float32), match
    )
    own = None if clean.alpha is None else np.full(opacity.shape, 255, np.uint8)
    return blended(clean, Region(place.box_xyxy, opacity, opacity > 0), new, own)


def poisson(
    new: NDArray[np.uint8], old: NDArray[np.uint8], where: Region, bleed: float
) -> NDArray[np.uint8]:
    """Return new colours whose rim agrees with the old ones (Pérez et al. 2003).

    new, old: (h, w, 3) over the region's box. What they differ by at the rim is spread over the
    region as smoothly as can be, and fades out with depth; with bleed 1 it does not fade, and new
    gradients stay exactly as they are.
    """
    import cv2

    inner = where.weight > 0
    if bleed == 0 or inner.all():
        return new
    difference = old.astype(np.float32) - new
    surface = membrane(np.where(inner[..., None], 0, difference), inner)
    if bleed < 1:
        away = cv2.distanceTransform(inner.astype(np.uint8), cv2.DIST_L2, 5)
        reach = max(float(away.max()) * bleed, 1.0)
        surface = surface * np.exp(-np.maximum(away - 1, 0) / reach)[..., None]
    settled = np.rint(np.clip(new + surface, 0, 255)).astype(np.uint8)
    return np.where(inner[..., None], settled, new)
