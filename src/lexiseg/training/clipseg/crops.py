"""Square crops that keep what a phrase means, as CLIPSeg's authors cut them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["crop", "find_crop"]

_TRIES = 50


def find_crop(
    mask: NDArray[np.bool_], side: int, least: float, rng: np.random.Generator
) -> tuple[int, int]:
    """Return top and left of a square of ``side`` pixels with more than ``least`` of the picture's
    pixels in the mask: of 50 random ones the first such, else the best."""
    height, width = mask.shape
    # Sums over any square are four look-ups.
    sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best, place = -1, (0, 0)
    for _ in range(_TRIES):
        y = int(rng.integers(0, height - side + 1))
        x = int(rng.integers(0, width - side + 1))
        inside = sums[y + side, x + side] - sums[y, x + side] - sums[y + side, x] + sums[y, x]
        if inside > least * mask.size:
            return y, x
        if inside > best:
            best, place = int(inside), (y, x)
    return place


def crop(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], place: tuple[int, int], side: int, wanted: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Cut a square and scale it to ``wanted`` pixels a side: the mask by its nearest pixels."""
    import cv2

    y, x = place
    way = cv2.INTER_AREA if side > wanted else cv2.INTER_LINEAR
    picture = cv2.resize(rgb[y : y + side, x : x + side], (wanted, wanted), interpolation=way)
    part = mask[y : y + side, x : x + side].astype(np.uint8)
    made = cv2.resize(part, (wanted, wanted), interpolation=cv2.INTER_NEAREST)
    return np.asarray(picture, np.uint8), made.astype(np.bool_)
