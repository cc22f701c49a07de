"""Colours for words: far apart by eye, and the same word keeps its colour where it can.

Distances are taken in OKLab (Ottosson 2020), where equal steps look equally large.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["palette"]

# Lightness and chroma of the rings of candidate colours; the first is the one tried first. All
# stay clear of black, white and grey, which photos are full of.
_RINGS = ((0.72, 0.19), (0.60, 0.21), (0.84, 0.15), (0.50, 0.17), (0.76, 0.09))
_HUES = 24
# Two words closer than this are hard to tell apart as tints. Lightness counts half: that of a tint
# is also the photo's.
_FAR_ENOUGH = 0.15
_LIGHTNESS = 0.5


def palette(words: Sequence[str]) -> NDArray[np.uint8]:
    """Return one colour a word, (K, 3) uint8 RGB, distinct up to 120 words.

    A word's own colour follows from its spelling, so that it stays the same from one vocabulary
    to the next; only a word that would look like one before it gives way.
    """
    rgb, lab = _candidates()
    lab = lab * [_LIGHTNESS, 1.0, 1.0]
    ring = np.arange(len(lab)) // _HUES
    picks = np.zeros(len(words), dtype=np.intp)
    gap = np.full(len(lab), np.inf)  # of each candidate to the nearest colour already taken
    for index, word in enumerate(words):
        if not gap.any():  # every candidate is taken: start over
            gap[:] = np.inf
        own = zlib.crc32(word.casefold().encode()) % _HUES
        # Its own colour, or the nearest one that is far from all before it, vivid ones first; when
        # none is left, the farthest.
        order = ring + np.linalg.norm(lab - lab[own], axis=1)
        far = gap >= min(_FAR_ENOUGH, float(gap.max()))
        pick = int(np.where(far, order, np.inf).argmin())
        picks[index] = pick
        gap = np.minimum(gap, np.linalg.norm(lab - lab[pick], axis=1))
    return rgb[picks].copy()


@lru_cache(maxsize=1)
def _candidates() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """All colours to choose from: (C, 3) uint8 RGB and the same in OKLab."""
    hues = np.deg2rad(np.arange(_HUES) * 360.0 / _HUES + 25.0)
    lab = np.concatenate(
        [
            np.stack([np.full(_HUES, light), chroma * np.cos(hues), chroma * np.sin(hues)], axis=1)
            for light, chroma in _RINGS
        ]
    )
    # Colours outside what a screen shows lose chroma, step by step, until they fit.
    for _ in range(40):
        linear = _oklab_to_linear(lab)
        outside = (linear < -1e-4).any(axis=1) | (linear > 1 + 1e-4).any(axis=1)
        if not outside.any():
            break
        lab[outside, 1:] *= 0.95
    linear = np.clip(_oklab_to_linear(lab), 0.0, 1.0)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(srgb * 255).astype(np.uint8), lab


def _oklab_to_linear(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """OKLab (C, 3) to linear sRGB (C, 3); outside [0, 1] where a screen cannot show it."""
    to_lms = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear: NDArray[np.float64] = (lab @ to_lms.T) ** 3 @ to_rgb.T
    return linear
