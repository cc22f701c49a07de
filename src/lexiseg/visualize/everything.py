"""Every mask that was drawn, whatever it shows; and the picture with only what matched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexiseg.visualize import canvas
from lexiseg.visualize.palette import palette

if TYPE_CHECKING:
    from lexiseg.masks import Masks
    from lexiseg.results import Segmentation

__all__ = ["all_masks", "segmented"]


def all_masks(
    seg: Segmentation, masks: Masks, image: canvas.Image | None = None, *, alpha: float = 0.5
) -> NDArray[np.uint8]:
    """Tint every mask in a colour of its own, small ones over large ones, (H, W, 3) uint8."""
    canvas.check_fraction("alpha", alpha)
    out = canvas.pixels(seg, image).copy()
    photo = canvas.pixels(seg, image)
    colours = palette([str(i) for i in range(min(len(masks), 120))])
    for place, i in enumerate(np.argsort(-masks.areas, kind="stable").tolist()):
        x0, y0, x1, y1 = masks.boxes_xyxy[i].tolist()
        inside = masks.crop(i)
        colour = colours[place % len(colours)].astype(np.float32)
        tint = (1 - alpha) * photo[y0:y1, x0:x1][inside] + alpha * colour
        out[y0:y1, x0:x1][inside] = np.rint(tint).astype(np.uint8)
    return out


def segmented(
    seg: Segmentation, image: canvas.Image | None = None, *, only: Sequence[str] | None = None
) -> NDArray[np.uint8]:
    """Return the picture with only the pixels of words, (H, W, 4) uint8 RGBA; the rest is 0."""
    shown = np.zeros(len(seg.words) + 1, np.bool_)  # one more for -1, at the end
    shown[canvas.chosen(seg, only)] = True
    mask = shown[seg.label_map]
    out = np.zeros((*mask.shape, 4), np.uint8)
    out[mask, :3] = canvas.pixels(seg, image)[mask]
    out[mask, 3] = 255
    return out
