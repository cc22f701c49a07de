"""Gaussian blur in a time that does not grow with its width: done on a smaller picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import OptionError

__all__ = ["check_radius", "gaussian_blur", "gaussian_blur_around"]

_SMALL = 6.0  # standard deviation on the smaller picture: its pixels leave no trace, see `_shrink`


def check_radius(radius: float) -> None:
    """Raise OptionError for a standard deviation that is not above 0 and at most 1000 pixels."""
    if not 0 < radius <= 1000:
        raise OptionError(f"radius is {radius:g}; give pixels above 0, at most 1000")


def gaussian_blur(pixels: NDArray[Any], radius: float) -> NDArray[Any]:
    """Return (H, W, C) uint8 or uint16 blurred; what lies beyond the edge is like the edge.

    radius: standard deviation in pixels. Of 8-bit values the result is within two of a filter at
    full size, but for the edge of noise.
    """
    import cv2

    small, sigmas = _shrink(pixels, radius)
    if small is pixels:
        return _blur(pixels, sigmas)
    soft = np.rint(_blur(small.astype(np.float32), sigmas)).astype(pixels.dtype)
    height, width = pixels.shape[:2]
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR))


def gaussian_blur_around(
    rgb: NDArray[np.uint8], opacity: NDArray[np.float32], radius: float
) -> NDArray[np.uint8]:
    """Return (H, W, 3) blurred without a thing in front, whose colours must not spread.

    opacity: of the thing, (H, W) in [0, 1]. radius: standard deviation in pixels.
    """
    import cv2

    share = np.rint(255 * (1 - opacity)).astype(np.uint8)
    weighted = cv2.multiply(rgb, cv2.merge([share] * 3), scale=1 / 255)
    colours, sigmas = _shrink(weighted, radius)
    shares, _ = _shrink(share, radius)
    total = _blur(colours.astype(np.float32), sigmas)
    weight = _blur(shares.astype(np.float32), sigmas)[..., None] / 255
    # Deep inside the thing nothing is known, and nothing of it shows.
    soft = np.rint(np.clip(total / np.maximum(weight, 1e-4), 0, 255)).astype(np.uint8)
    height, width = rgb.shape[:2]
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR))


def _shrink(pixels: NDArray[Any], radius: float) -> tuple[NDArray[Any], tuple[float, float]]:
    """Pixels at the scale at which the blur is cheap, and what of it is left to do, (x, y).

    Means over s x s pixels have a variance of s^2 / 12, linear interpolation back one of s^2 / 6:
    together a quarter of a small pixel's square, which the Gaussian has to lack.
    """
    import cv2

    height, width = pixels.shape[:2]
    scale = radius / _SMALL
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    if scale < 2:
        return pixels, (radius, radius)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    left = (max((radius * part / full) ** 2 - 0.25, 0.01) ** 0.5
            for part, full in zip(size, (width, height), strict=True))  # fmt: skip
    sigma_x, sigma_y = left
    return np.asarray(small).reshape(*size[::-1], *pixels.shape[2:]), (sigma_x, sigma_y)


def _blur(pixels: NDArray[Any], sigmas: tuple[float, float]) -> NDArray[Any]:
    import cv2

    x, y = sigmas
    soft = cv2.GaussianBlur(pixels, (0, 0), x, sigmaY=y, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft)
