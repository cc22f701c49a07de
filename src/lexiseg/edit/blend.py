"""New pixels into a picture: weighted where the weight is above 0, untouched elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.edit.region import Region
from lexiseg.imaging import Picture

__all__ = ["blended", "colours_of", "with_pixels"]


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
    picture = _without_hidden(picture, where)
    full = colours_of(picture).copy()
    _mix_into(full[where.window], colours, where.weight)
    opacity = _alpha_of(picture)
    if alpha is None:
        return with_pixels(picture, full, opacity)
    if opacity is None:
        opacity = np.full(full.shape[:2], np.iinfo(full.dtype).max, full.dtype)
    opacity = opacity.copy()
    _mix_into(opacity[where.window], alpha, where.weight)
    return with_pixels(picture, full, opacity)


def with_pixels(picture: Picture, colours: NDArray[Any], alpha: NDArray[Any] | None) -> Picture:
    """Return the picture with other pixels, (H, W, 3) and (H, W), and all else that it carries.

    Colours become black where nothing of them shows, as in any Picture.
    """
    if colours.dtype == np.uint8:
        if alpha is not None:
            colours = np.where(alpha[..., None] == 0, 0, colours).astype(np.uint8)
        return replace(picture, rgb=colours, alpha=alpha, deep=None)
    made = imaging.read(colours if alpha is None else np.dstack([colours, alpha]))
    return replace(picture, rgb=made.rgb, alpha=made.alpha, deep=made.deep)


def _without_hidden(picture: Picture, where: Region) -> Picture:
    """The picture without the colours that its file hides under transparency in a region."""
    hidden = picture.hidden
    if hidden is None or hidden.size_hw != picture.size_hw:
        return picture
    outside = np.ones(picture.size_hw, np.bool_)
    outside[where.window] = where.weight == 0
    kept = outside.reshape(-1)[hidden.at]
    return replace(
        picture, hidden=replace(hidden, at=hidden.at[kept], colours=hidden.colours[kept])
    )


def _mix_into(old: NDArray[Any], new: NDArray[Any], weight: NDArray[np.float32]) -> None:
    """Set `old` to old + weight * (new - old), rounded, in place: (h, w) or (h, w, 3)."""
    import cv2

    if old.dtype == np.uint16 and new.dtype == np.uint8:
        new = new.astype(np.uint16) * 257
    # Most pixels are wholly new or wholly old; only the border between them needs arithmetic.
    cv2.copyTo(new, (weight == 1).view(np.uint8), old)
    border = (weight > 0) & (weight < 1)
    before, after = old[border].astype(np.float32), new[border].astype(np.float32)
    share = weight[border].reshape(-1, *[1] * (old.ndim - 2))
    old[border] = np.rint(before + share * (after - before)).astype(old.dtype)


def _alpha_of(picture: Picture) -> NDArray[Any] | None:
    """Transparency at the depth of the file."""
    if picture.alpha is None or picture.deep is None:
        return picture.alpha
    if picture.deep.shape[2] == 4:
        return picture.deep[:, :, 3]
    return picture.alpha.astype(np.uint16) * 257
