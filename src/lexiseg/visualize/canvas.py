"""What every picture here begins with: the photo, the size to draw at, the words to draw."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import OptionError, PictureError

if TYPE_CHECKING:
    from lexiseg.results import Segmentation

__all__ = ["Image", "check_fraction", "chosen", "figure_size", "nearest", "pixels", "scaled"]

Image = str | os.PathLike[str] | NDArray[np.uint8] | Any  # or a PIL image

_Pixel = TypeVar("_Pixel", np.uint8, np.float32)

# A figure's picture is about as long as the first (enlarged by a whole factor), so that text of a
# readable size does not dwarf it, and at most as long as the second, so that it opens at once.
_SHORT, _LONG = 640, 2048


def pixels(seg: Segmentation, image: Image | None) -> NDArray[np.uint8]:
    """The photo, (H, W, 3) uint8: `image`, or the one that `seg` keeps; PictureError otherwise."""
    if image is None:
        if seg.image is None:
            raise PictureError(
                "this Segmentation does not hold its picture; pass image=, a path or an array"
            )
        return seg.image
    from lexiseg.imaging import read

    rgb = read(image).rgb
    if rgb.shape[:2] != seg.label_map.shape:
        raise PictureError(
            "the picture is not the one that was segmented: "
            f"{rgb.shape[1]}x{rgb.shape[0]} pixels, the masks have "
            f"{seg.label_map.shape[1]}x{seg.label_map.shape[0]}; pass that picture"
        )
    return rgb


def chosen(seg: Segmentation, only: Sequence[str] | None) -> list[int]:
    """The indices of the words to draw, in the vocabulary's order; WordNotAsked for a stranger."""
    if only is None:
        return list(range(len(seg.words)))
    return sorted({seg.index(word) for word in only})


def check_fraction(name: str, value: float) -> None:
    """Refuse a value outside [0, 1] with an OptionError."""
    if not 0.0 <= value <= 1.0:
        raise OptionError(f"{name} must be in [0, 1], got {value!r}")


def figure_size(size_hw: tuple[int, ...]) -> tuple[int, int]:
    """The size, (h, w), at which a picture of `size_hw` is drawn in a figure."""
    height, width = size_hw
    longest = max(height, width)
    if longest > _LONG:
        return max(1, round(height * _LONG / longest)), max(1, round(width * _LONG / longest))
    factor = max(1, round(_SHORT / longest))
    return height * factor, width * factor


def scaled(pixels: NDArray[_Pixel], size_hw: tuple[int, ...]) -> NDArray[_Pixel]:
    """A photo (H, W, 3) or map (H, W) brought to `size_hw`, smoothly; its type is kept."""
    import cv2

    if pixels.shape[:2] == tuple(size_hw):
        return pixels
    larger = size_hw[0] > pixels.shape[0]
    if pixels.ndim == 2:  # scores: nothing that overshoots
        how = cv2.INTER_LINEAR
    else:
        how = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    out: NDArray[_Pixel] = cv2.resize(pixels, (size_hw[1], size_hw[0]), interpolation=how).astype(
        pixels.dtype, copy=False
    )
    return out


def nearest(labels: NDArray[np.integer], size_hw: tuple[int, ...]) -> NDArray[np.integer]:
    """A label map (H, W) brought to `size_hw` by the pixel nearest to each centre."""
    if labels.shape == tuple(size_hw):
        return labels
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(labels.shape, size_hw, strict=True)
    )
    small: NDArray[np.integer] = labels[rows][:, columns]
    return small
