"""The cut-out: what a word names, on a transparent ground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexiseg.visualize import canvas

if TYPE_CHECKING:
    from lexiseg.results import Segmentation

__all__ = ["cutout"]


def cutout(seg: Segmentation, word: str, image: canvas.Image | None = None) -> NDArray[np.uint8]:
    """Return the picture with only the pixels of `word`, (H, W, 4) uint8 RGBA.

    Pixels of the word keep their colour bit by bit, with alpha 255; all others are 0, so that
    nothing of them is left in the file. Raises WordNotAsked for a word outside the vocabulary.
    """
    mask = seg.semantic() == seg.index(word)
    rgb = canvas.pixels(seg, image)
    out = np.zeros((*mask.shape, 4), dtype=np.uint8)
    out[mask, :3] = rgb[mask]
    out[mask, 3] = 255
    return out
