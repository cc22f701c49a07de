"""New pixels into a picture: weighted where the weight is above 0, untouched elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.editing.region import Region
from lexiseg.imaging import Picture

__all__ = ["blended", "colours_of", "over", "with_pixels"]


def colours_of(picture: Picture) -> NDArray[Any]:
    """Return the colours at the depth of the file, (H, W, 3) uint8, or uint16 of a 16-bit one."""
    if picture.deep is None:
        return picture.rgb
    if picture.deep.shape[2] == 1:
        return picture.deep.repeat(3, axis=2)
    return picture.deep[:, :, :3]


def blended(
    picture: Picture,
    where: Region,
    colours: NDArray[Any],
    alpha: NDArray[np.uint8] | None = None,
) -> Picture:
    """Return the picture with `colours`, (h, w, 3) over the region's box, by the region's weight.

    Eight-bit colours serve a 16-bit picture too; pixels of weight 0 stay bit by bit at either
    depth. alpha: (h, w), blended in the same way; without it transparency stays as it was.
    """
    full = colours_of(picture).copy()
    part = full[where.window]
    touched = where.weight > 0
    if full.dtype == np.uint16 and colours.dtype == np.uint8:
        colours = colours.astype(np.uint16) * 257
    part[touched] = over(part[touched], colours[touched], where.weight[touched][:, None])
    if alpha is None:
        return with_pixels(picture, full, _alpha(picture))
    old = _alpha(picture)
    if old is None:
        old = np.full(full.shape[:2], np.iinfo(full.dtype).max, full.dtype)
    old = old.copy()
    given = alpha.astype(full.dtype) * (257 if full.dtype == np.uint16 else 1)
    inner = old[where.window]
    inner[touched] = over(inner[touched], given[touched], where.weight[touched])
    return with_pixels(picture, full, old)


def over(old: NDArray[Any], new: NDArray[Any], weight: NDArray[np.float32]) -> NDArray[Any]:
    """Return old + weight * (new - old), rounded to the type of `old`."""
    mixed = old.astype(np.float32) + weight * (new.astype(np.float32) - old.astype(np.float32))
    top = np.iinfo(old.dtype).max
    out: NDArray[Any] = np.clip(np.rint(mixed), 0, top).astype(old.dtype)
    return out


def with_pixels(picture: Picture, colours: NDArray[Any], alpha: NDArray[Any] | None) -> Picture:
    """Return the picture with other pixels, (H, W, 3) and (H, W), and all else that it carries."""
    parts = colours if alpha is None else np.dstack([colours, alpha])
    made = imaging.read(parts)
    return replace(picture, rgb=made.rgb, alpha=made.alpha, deep=made.deep)


def _alpha(picture: Picture) -> NDArray[Any] | None:
    """Transparency at the depth of the file."""
    if picture.alpha is None or picture.deep is None:
        return picture.alpha
    if picture.deep.shape[2] == 4:
        return picture.deep[:, :, 3]
    return picture.alpha.astype(np.uint16) * 257
