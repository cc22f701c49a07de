"""Colours: by name, in linear light (sRGB, IEC 61966-2-1), and moved towards those of a place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import OptionError

__all__ = [
    "Colour", "from_linear", "is_colour", "luminance", "parse_colour", "to_linear",
    "transfer_colours",
]  # fmt: skip

Colour = tuple[int, int, int]


def parse_colour(text: str) -> Colour:
    """Return (red, green, blue), 0 to 255, of "red", "#f00", "#ff0000" or "rgb(255, 0, 0)".

    The names are those of CSS. Raises OptionError for anything else, transparent colours too.
    """
    from PIL import ImageColor

    try:
        colour = ImageColor.getrgb(text.strip())
    except ValueError as error:
        raise OptionError(
            f"{text!r} is not a colour; give a name as in CSS, such as 'teal', or '#rrggbb'"
        ) from error
    if len(colour) != 3:
        raise OptionError(f"the colour {text!r} is transparent; give '#rrggbb'")
    return colour


def is_colour(text: str) -> bool:
    """Whether `parse_colour` takes the text."""
    try:
        parse_colour(text)
    except OptionError:
        return False
    return True


def to_linear(colours: NDArray[Any]) -> NDArray[np.float32]:
    """Return uint8 or uint16 sRGB colours as linear light, float32 in [0, 1]."""
    top = int(np.iinfo(colours.dtype).max)
    value = np.arange(top + 1, dtype=np.float64) / top
    curve = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light: NDArray[np.float32] = curve.astype(np.float32)[colours]
    return light


def from_linear(light: NDArray[np.float32], kind: np.dtype[Any]) -> NDArray[Any]:
    """Return linear light as sRGB colours of the type `kind`, uint8 or uint16."""
    light = np.clip(light, 0, 1)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    out: NDArray[Any] = np.rint(value * np.iinfo(kind).max).astype(kind)
    return out


def luminance(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the luminance, (...), of linear light, (..., 3) (Rec. 709 weights)."""
    return np.asarray(light @ np.array([0.2126, 0.7152, 0.0722], np.float32))


def transfer_colours(
    rgb: NDArray[np.uint8],
    weight: NDArray[np.float32],
    target: NDArray[np.uint8],
    target_weight: NDArray[np.float32],
    strength: float,
) -> NDArray[np.uint8]:
    """Return colours moved towards the mean and spread of others (Reinhard et al. 2001, in CIELAB).

    rgb, target: (h, w, 3). Statistics count pixels by their weight, (h, w). strength: how far, in
    [0, 1].
    """
    import cv2

    if strength == 0 or not weight.any() or not target_weight.any():
        return rgb
    own_lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    target_lab = cv2.cvtColor(target.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    mean, spread = _statistics(own_lab, weight)
    to_mean, to_spread = _statistics(target_lab, target_weight)
    # A flat place says nothing about contrast, and a bright one must not be torn apart.
    factor = np.clip(to_spread / np.maximum(spread, 1e-3), 0.5, 2.0)
    moved = (own_lab - mean) * factor + to_mean
    mixed = (own_lab + strength * (moved - own_lab)).astype(np.float32)
    back = cv2.cvtColor(mixed, cv2.COLOR_Lab2RGB)
    return np.rint(np.clip(back, 0, 1) * 255).astype(np.uint8)


def _statistics(
    lab: NDArray[Any], weight: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weighted mean and standard deviation of each channel, (3,) each."""
    flat, share = lab.reshape(-1, 3).astype(np.float64), weight.reshape(-1).astype(np.float64)
    mean = np.average(flat, axis=0, weights=share)
    return mean, np.sqrt(np.average((flat - mean) ** 2, axis=0, weights=share))
