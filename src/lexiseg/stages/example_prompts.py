"""An example image made ready as a prompt: visual prompt engineering of CLIPSeg.

Lüddecke and Ecker (CVPR 2022), section 3.3 and table 4: cropped to the thing, background blurred,
background darkened. As in their code, which works on normalised pixels, "dark" is the mean colour
of ImageNet, not black, and so is what is padded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import PromptError, UnknownName
from lexiseg.prompts import Example

__all__ = ["WAYS", "example_pixels", "prepare_example"]

WAYS = ("crop", "blur", "darken")
_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255


def prepare_example(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    ways: Sequence[str] = WAYS,
    *,
    context: float = 0.1,
    sigma: float = 3.0,
    brightness: float = 0.1,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return an image (H, W, 3) uint8 and its mask (H, W) bool as a prompt.

    ways: any of "blur" (the background, 15x15 pixels, ``sigma``), "darken" (the background's
    distance to the mean colour times ``brightness``), "crop" (to the mask's box and ``context`` of
    its width and height on each side, then padded to a square). Raises PromptError where the mask
    is empty, UnknownName for another way.
    """
    import cv2

    for way in ways:
        if way not in WAYS:
            raise UnknownName.among("way to prepare an example", way, WAYS)
    if not mask.any():
        raise PromptError("the example's mask is empty; mark the thing that is meant")
    out = rgb.astype(np.float32)
    if "blur" in ways:
        out = np.asarray(cv2.GaussianBlur(out, (15, 15), sigma), np.float32)
    if "darken" in ways:
        out = _MEAN + brightness * (out - _MEAN)
    out[mask] = rgb[mask]
    made = np.rint(out).clip(0, 255).astype(np.uint8)
    if "crop" not in ways:
        return made, mask
    spans = []
    for axis, length in ((1, mask.shape[0]), (0, mask.shape[1])):
        places = np.flatnonzero(mask.any(axis))
        low, high = int(places[0]), int(places[-1]) + 1
        more = context * (high - low)
        spans.append(slice(int(max(0, low - more)), int(min(length, high + more))))
    return _square(made[tuple(spans)]), _square(mask[tuple(spans)][..., None])[..., 0].astype(bool)


def example_pixels(
    example: Example, ways: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the pixels and the mask of an example, prepared; all of it where nothing is marked.

    example: whose image is an (H, W, 3) uint8 array. Raises PromptError for another one, and for a
    mask or box that does not fit the image.
    """
    rgb = example.image
    if not (isinstance(rgb, np.ndarray) and rgb.dtype == np.uint8 and rgb.shape[2:] == (3,)):
        raise PromptError(
            f"an example's image is {type(rgb).__name__}; read it to an (H, W, 3) uint8 array first"
        )
    mask = example.inside((rgb.shape[0], rgb.shape[1]))
    if mask is None:
        return rgb, np.ones(rgb.shape[:2], np.bool_)
    return prepare_example(rgb, mask, ways)


def _square(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Padded to a square: images by the mean colour, masks by 0."""
    height, width, channels = values.shape
    side = max(height, width)
    out = np.zeros((side, side, channels), np.uint8)
    if channels == 3:
        out[:] = np.rint(_MEAN).astype(np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    out[top : top + height, left : left + width] = values
    return out
