"""A region of a picture, filled from its surroundings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.fills import fill
from lexiseg.edit.fills.membrane import membrane
from lexiseg.edit.region import Region
from lexiseg.errors import PromptError
from lexiseg.imaging import Picture

__all__ = ["fill_region"]

_MIN_CONTEXT = 64


def fill_region(
    picture: Picture, where: Region, name: str = "auto"
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, str]:
    """Return what may lie behind a region: colours and alpha over its box, and the fill's name.

    The hole is wherever the region's weight is above 0. Filled from as much around it as it is
    large itself; fully transparent pixels hold no colour to copy. Raises PromptError where nothing
    of the picture is left to fill from.
    """
    margin = max(_MIN_CONTEXT, *where.weight.shape)
    outer, inner = where.with_margin(picture.size_hw, margin)
    rgb = np.ascontiguousarray(picture.rgb[outer])
    hole = np.zeros(rgb.shape[:2], np.bool_)
    hole[inner] = where.weight > 0
    alpha = None if picture.alpha is None else picture.alpha[outer]
    if (hole if alpha is None else hole | (alpha == 0)).all():
        raise PromptError(
            "the region covers all of the picture, so nothing is left to fill it from; ask for "
            "something smaller, or give a colour as the fill"
        )
    if alpha is None:
        filled, used = fill(rgb, hole, name)
        return filled[inner], None, used
    filled, used = fill(rgb, hole | (alpha == 0), name)
    if (alpha[~hole] == 0).all():
        through = np.where(hole, 0, alpha)
    else:
        through = np.rint(membrane(alpha.astype(np.float32)[..., None], hole)[..., 0])
    return filled[inner], through[inner].astype(np.uint8), used
