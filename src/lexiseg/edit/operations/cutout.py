"""What was meant, on a transparent ground."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.blend import with_pixels
from lexiseg.edit.matting import CONTEXT, band_width, check_edges, foreground, matte
from lexiseg.edit.region import Outcome, Scene, Window, box_window
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

    def __post_init__(self) -> None:
        check_edges(self.edges, self.band)
        if not 0 <= self.margin <= 10_000:
            raise OptionError(f"margin is {self.margin}; give pixels from 0 to 10000")


def edit(scene: Scene, config: Config) -> Outcome:
    """Return one picture, or one an instance: straight alpha, as PNG and WebP hold it.

    Colours under partly transparent pixels are those of the thing alone, so that it can be laid on
    any ground without a rim. What is fully transparent is 0.
    """
    masks = scene.masks if config.instances else (scene.mask,)
    return Outcome(tuple(_cut(scene.picture, mask, config) for mask in masks))


def _cut(picture: Picture, mask: NDArray[np.bool_], config: Config) -> Picture:
    band = config.band or band_width(mask)
    around = box_window(mask, 3 * band + CONTEXT)  # all that can come in, and what filters see
    rgb, part = np.ascontiguousarray(picture.rgb[around]), np.ascontiguousarray(mask[around])
    opacity = matte(rgb, part, config.edges, band)
    if picture.alpha is not None:
        alpha = np.rint(opacity * picture.alpha[around]).astype(np.uint8)
    else:
        alpha = np.rint(255 * opacity).astype(np.uint8)
    if not alpha.any():
        raise PictureError("what was meant is transparent already, so nothing would be left of it")
    colours = foreground(rgb, opacity)
    colours[alpha == 0] = 0
    box = _kept(alpha, around, picture.size_hw, config)
    cut = with_pixels(picture, _moved(colours, around, box), _moved(alpha, around, box))
    return replace(cut, mode="RGBA", hidden=None)


def _kept(
    alpha: NDArray[np.uint8], around: Window, size_hw: tuple[int, int], config: Config
) -> Window:
    """The window of the picture that stays."""
    height, width = size_hw
    if not config.trim:
        return slice(0, height), slice(0, width)
    left, margin = box_window(alpha > 0, 0), config.margin
    rows, columns = (
        slice(max(0, a.start + b.start - margin), min(side, a.start + b.stop + margin))
        for a, b, side in zip(around, left, size_hw, strict=True)
    )
    return rows, columns


def _moved(pixels: NDArray[np.uint8], around: Window, box: Window) -> NDArray[np.uint8]:
    """Pixels of the window `around` in the window `box`; 0 where it has others."""
    out = np.zeros((*(side.stop - side.start for side in box), *pixels.shape[2:]), np.uint8)
    to, of = [], []
    for there, here in zip(box, around, strict=True):
        low, high = max(there.start, here.start), min(there.stop, here.stop)
        to.append(slice(low - there.start, high - there.start))
        of.append(slice(low - here.start, high - here.start))
    out[tuple(to)] = pixels[tuple(of)]
    return out
