"""What was meant, on a transparent ground."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lexiseg.editing.blend import with_pixels
from lexiseg.editing.matting import foreground, matte
from lexiseg.editing.outcome import Outcome
from lexiseg.editing.region import Scene
from lexiseg.errors import OptionError, PictureError
from lexiseg.imaging import Picture

__all__ = ["SUMMARY", "Config", "edit"]

SUMMARY = "cut out what was meant, with soft edges, on a transparent ground"


@dataclass(frozen=True)
class Config:
    """How it is cut out.

    edges: "soft", "closed-form" (needs PyMatting; better in hair) or "hard".
    band: pixels around the mask's edge in which opacity is found anew; None: by the size.
    trim: cut the picture to what is left.
    margin: pixels that stay around it then.
    instances: a picture for each instance, not one for all together.
    """

    edges: str = "soft"
    band: int | None = None
    trim: bool = True
    margin: int = 0
    instances: bool = False


def edit(scene: Scene, config: Config) -> Outcome:
    """Return one picture, or one an instance: straight alpha, as PNG and WebP hold it.

    Colours under partly transparent pixels are those of the thing alone, so that it can be laid on
    any ground without a rim. What is fully transparent is 0.
    """
    if not 0 <= config.margin <= 10_000:
        raise OptionError(f"margin is {config.margin}; give pixels from 0 to 10000")
    masks = list(scene.masks) if config.instances else [scene.mask]
    return Outcome(tuple(_cut(scene.picture, mask, config) for mask in masks))


def _cut(picture: Picture, mask: NDArray[np.bool_], config: Config) -> Picture:
    opacity = matte(picture.rgb, mask, config.edges, config.band)
    alpha = np.rint(255 * opacity).astype(np.uint8)
    if picture.alpha is not None:
        alpha = np.rint(alpha * (picture.alpha / 255)).astype(np.uint8)
    if not alpha.any():
        raise PictureError("what was meant is transparent already, so nothing would be left of it")
    colours = foreground(picture.rgb, opacity)
    colours[alpha == 0] = 0
    height, width = alpha.shape
    rows, columns = slice(0, height), slice(0, width)
    if config.trim:
        ys, xs = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
        rows = slice(max(0, ys[0] - config.margin), ys[-1] + 1 + config.margin)
        columns = slice(max(0, xs[0] - config.margin), xs[-1] + 1 + config.margin)
    cut = with_pixels(picture, colours[rows, columns], alpha[rows, columns])
    return replace(cut, mode="RGBA")
