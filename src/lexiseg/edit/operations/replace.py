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
from lexiseg.edit.matting import check_edges, foreground, ground_matte
from lexiseg.edit.region import Outcome, Region, Scene, border_widths, box_window
from lexiseg.edit.xmp import COMPOSITE
from lexiseg.errors import OptionError
from lexiseg.imaging import Picture

__all__ = ["SUMMARY", "Config", "edit"]

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif")
_GROUND = 0.05  # of the picture
SUMMARY = "replace what was meant by a picture, a colour, or what words describe"


@dataclass(frozen=True)
class Config(Generation):
    """What comes in its place, and how it is fitted in.

    with_: a colour, a picture (path, PIL, array), or words, for the model to make. A picture
        without transparency covers the region; one with transparency, such as a cut-out, is stood
        into it, after the old thing is removed.
    match: how far its colours move towards those that were there, in [0, 1].
    bleed: how far the rim's colours reach into it, as a part of the region's depth: 0 not at all,
        1 all through, which is Poisson blending. None: 0.3 with hard edges; 0 with others, where
        trees would cast a glow into the sky.
    instances: cut-outs stand for each instance, not once for all.
    edges: of a colour or a picture without transparency: "soft", "closed-form" (needs PyMatting)
        or "hard". None: "soft" for a picture in place of a ground, such as sky, which is what
        reaches the picture's border and covers a twentieth of it; "hard" for all else, and where
        dilation or blur is given.
    band: pixels from the mask within which soft edges lie; None: by the size.
    dilation, blur: pixels of the region's border with hard edges; None: 0 and 3, and as `remove`
        where a hole is made first.
    model: the network for words; None: "sd-2-inpainting".
    steps, guidance, negative, seeds, context, progress: of that network, see `Generation`.
    """

    with_: Any = "grey"
    match: float = 0.3
    bleed: float | None = None
    instances: bool = False
    edges: str | None = None
    band: int | None = None
    dilation: int | None = None
    blur: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("match", "bleed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise OptionError(f"{name} is {value:g}; give a number from 0 to 1")
        check_edges(self.edges or "hard", self.band)
        if self.edges in (None, "hard"):
            return
        for name in ("dilation", "blur"):
            if getattr(self, name) is not None:
                raise OptionError(f"{name} is of hard edges; leave it out, or edges {self.edges!r}")

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
        colour = np.array(parse_colour(config.with_), np.uint8)
        if config.edges in (None, "hard"):  # a colour covers, to the last pixel
            return Outcome((blended(scene.picture, where, _plane(colour, where)),))
        where, opacity = _matted(scene, config, config.edges)
        return Outcome((_behind(scene.picture, where, opacity, _plane(colour, where)),))
    other = imaging.read(config.with_)
    if other.alpha is not None and (other.alpha < 255).any():
        return Outcome((_stood(scene, other, config),), COMPOSITE)
    edges = config.edges or _usual_edges(scene.mask, config)
    if edges != "hard":
        where, opacity = _matted(scene, config, edges)
        new = _fitted(other, scene.picture.rgb, where, config, 0)
        return Outcome((_behind(scene.picture, where, opacity, new),), COMPOSITE)
    where = where.padded(size_hw, 1)  # a rim that new and old can agree on
    new = _fitted(other, scene.picture.rgb, where, config, 0.3)
    return Outcome((blended(scene.picture, where, new),), COMPOSITE)


def _usual_edges(mask: NDArray[np.bool_], config: Config) -> str:
    """Soft for a ground, hard for a thing, and where somebody chose widths of a hard border."""
    border = mask[[0, -1]].any() or mask[:, [0, -1]].any()
    chosen = config.dilation is not None or config.blur is not None
    return "soft" if border and mask.mean() >= _GROUND and not chosen else "hard"


def _plane(colour: NDArray[np.uint8], where: Region) -> NDArray[np.uint8]:
    """One colour all over a region's box."""
    return np.broadcast_to(colour, (*where.mask.shape, 3)).copy()


def _fitted(
    other: Picture, rgb: NDArray[np.uint8], where: Region, config: Config, usual_bleed: float
) -> NDArray[np.uint8]:
    """A picture over a region's box, (h, w, 3), its colours moved towards those that were there."""
    old = rgb[where.window]
    new = cover(other, where.mask.shape)[..., :3]
    flat = np.ones(where.mask.shape, np.float32)
    new = transfer_colours(new, flat, old, where.mask.astype(np.float32), config.match)
    return poisson_blend(new, old, where, usual_bleed if config.bleed is None else config.bleed)


def _matted(scene: Scene, config: Config, edges: str) -> tuple[Region, NDArray[np.float32]]:
    """All that changes, of weight 1, and how much of it was ground, (h, w), over its box."""
    opacity = ground_matte(scene.picture.rgb, scene.mask, edges, config.band)
    rows, columns = window = box_window(opacity > 0, 1)
    part = opacity[window]
    box = columns.start, rows.start, columns.stop, rows.stop
    return Region(box, (part > 0).astype(np.float32), scene.mask[window]), part


def _behind(
    picture: Picture, where: Region, opacity: NDArray[np.float32], new: NDArray[np.uint8]
) -> Picture:
    """Lay new pixels, (h, w, 3), behind what is in front of the ground."""
    front = foreground(np.ascontiguousarray(picture.rgb[where.window]), 1 - opacity)
    mixed = (opacity > 0) & (opacity < 1)
    share = opacity[mixed][:, None]
    new[mixed] = np.rint(share * new[mixed] + (1 - share) * front[mixed])
    return blended(picture, where, new)


def _stood(scene: Scene, other: Picture, config: Config) -> Picture:
    """Remove what was meant, and stand a cut-out in its place."""
    size_hw = scene.picture.size_hw
    dilation, blur = border_widths(config.dilation, config.blur, size_hw, generous=True)
    hole = Region.from_mask(scene.mask, dilation=dilation, blur=blur)
    filled = fill_region(scene.picture, hole, avoid=scene.alike)
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
