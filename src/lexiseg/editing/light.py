"""sRGB and linear light (IEC 61966-2-1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_linear", "luminance", "to_linear"]


def to_linear(colours: NDArray[Any]) -> NDArray[np.float32]:
    """Return uint8 or uint16 sRGB colours as linear light, float32 in [0, 1]."""
    value = colours.astype(np.float32) / np.iinfo(colours.dtype).max
    curve = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(curve, np.float32)


def from_linear(light: NDArray[np.float32], kind: np.dtype[Any]) -> NDArray[Any]:
    """Return linear light as sRGB colours of the type `kind`, uint8 or uint16."""
    light = np.clip(light, 0, 1)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    out: NDArray[Any] = np.rint(value * np.iinfo(kind).max).astype(kind)
    return out


def luminance(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the luminance, (...), of linear light, (..., 3) (Rec. 709 weights)."""
    return np.asarray(light @ np.array([0.2126, 0.7152, 0.0722], np.float32))
