"""Colours that belong to words: sky is blue and grass green in every picture.

A small table says what people expect; the other words have a colour by their spelling. In one
picture colours stay apart, also for eyes that do not tell red from green (Machado et al. 2009, "A
Physiologically-based Model for Simulation of Color Vision Deficiency"): distances are Euclid's in
OKLab, the smallest of three ways to see.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lexiseg.prompts import general_terms

__all__ = ["palette"]

# In the order in which they come first.
_EXPECTED: dict[str, tuple[int, int, int]] = {
    "person": (225, 45, 80), "sky": (115, 190, 255), "cloud": (205, 215, 235),
    "sun": (255, 220, 60),
    "grass": (150, 210, 60), "tree": (25, 115, 50), "plant": (70, 165, 85),
    "vegetation": (70, 165, 85),
    "leaf": (95, 180, 60), "flower": (240, 100, 180), "water": (30, 105, 200),
    "sea": (20, 85, 185), "river": (45, 125, 210), "lake": (35, 115, 190),
    "swimming pool": (0, 170, 200), "road": (105, 105, 118), "pavement": (170, 158, 150),
    "sand": (228, 202, 130), "beach": (228, 202, 130), "snow": (236, 245, 255),
    "ice": (190, 230, 245), "mountain": (140, 120, 115), "rock": (128, 124, 116),
    "dirt": (145, 98, 58), "ground": (145, 98, 58), "building": (178, 94, 74),
    "house": (198, 112, 82), "roof": (160, 60, 50), "wall": (208, 188, 160),
    "floor": (150, 115, 85), "ceiling": (226, 220, 205), "fence": (150, 90, 40),
    "door": (130, 80, 40), "window": (150, 200, 225), "fire": (255, 110, 20),
    "face": (255, 165, 130), "skin": (240, 175, 140),
    "hair": (110, 65, 35), "mouth": (200, 50, 75), "banana": (250, 220, 50),
    "orange": (255, 140, 20), "carrot": (245, 120, 30), "apple": (215, 40, 40),
    "lawn": (150, 210, 60), "forest": (25, 100, 45), "oak": (35, 120, 50),
    "tomato": (220, 50, 40),
    "lemon": (250, 230, 70), "broccoli": (50, 130, 50),
}  # fmt: skip

# Lightness and chroma of the rings of candidate colours; the first is the one tried first.
_RINGS = ((0.72, 0.19), (0.60, 0.21), (0.84, 0.15), (0.48, 0.17), (0.76, 0.09), (0.36, 0.11))
_HUES = 24
# Two words closer than this are hard to tell apart as tints. Distances without some cones count by
# so much more: they are short, as fewer colours are left to tell apart.
_FAR_ENOUGH = 0.1
_WEIGHTS = np.array([1.0, 1.7, 1.7])
# Linear RGB as it is seen without the cones for red, and without those for green.
_VISIONS = (
    ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
     (-0.003882, -0.048116, 1.051998)),
    ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
     (-0.011820, 0.042940, 0.968881)),
)  # fmt: skip


def palette(words: Sequence[str], present: Collection[str] = ()) -> NDArray[np.uint8]:
    """Return one colour a word, (K, 3) uint8 RGB, distinct up to 120 words.

    A word's own colour follows from what it means or how it is spelled, so that it stays the same
    from one list to the next and from one picture to the next; only a word that would look like
    another one gives way: to those of ``present``, to those with an expected colour, then by the
    alphabet. It takes the nearest colour that is free.
    """
    there = frozenset(word.casefold() for word in present)
    return _palette(tuple(words), there).copy()


@lru_cache(maxsize=64)  # pictures of a run mostly show the same words
def _palette(words: tuple[str, ...], there: frozenset[str]) -> NDArray[np.uint8]:
    rgb, lab = _candidates()
    own = [_expected(word) for word in words]
    rank = {term: place for place, term in enumerate(_EXPECTED)}
    order = sorted(
        range(len(words)),
        key=lambda k: (
            words[k].casefold() not in there,
            rank.get(own[k] or "", 999),
            words[k].casefold(),
            k,
        ),
    )
    out = np.zeros((len(words), 3), np.uint8)
    ring = np.arange(len(lab)) // _HUES * 0.5
    gap = np.full(len(lab), np.inf)  # of each candidate to the nearest colour already taken
    taken = np.empty((0, 3, 3))
    for k in order:
        term = own[k]
        if term is not None:
            out[k] = _EXPECTED[term]
            look = _as_seen(out[[k]])[0]
            near = np.linalg.norm(lab[:, 0] - look[0], axis=1)
        else:
            look = lab[zlib.crc32(words[k].casefold().encode()) % _HUES]
            near = ring + np.linalg.norm(lab[:, 0] - look[0], axis=1)
        if term is None or (_distances(taken, look) < _FAR_ENOUGH).any():
            if not (gap > 0).any():  # every candidate is taken: start over
                gap[:] = np.inf
            # Its own colour, or the nearest one that is far from all before it; else the farthest.
            far = gap >= min(_FAR_ENOUGH, float(gap.max()))
            pick = int(np.where(far, near, np.inf).argmin())
            out[k], look = rgb[pick], lab[pick]
        taken = np.concatenate([taken, look[None]])
        gap = np.minimum(gap, _distances(lab, look))
    return out


def _expected(word: str) -> str | None:
    """The term whose colour people expect of a word, as a kind of it: an oak is a tree."""
    return next((term for term in general_terms(word) if term in _EXPECTED), None)


@lru_cache(maxsize=1)
def _candidates() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """All colours to choose from: (C, 3) uint8 RGB, and as they are seen, (C, 3, 3)."""
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
    rgb = np.rint(srgb * 255).astype(np.uint8)
    return rgb, _as_seen(rgb)


def _as_seen(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Colours (C, 3) in OKLab, as three ways of seeing have them, (C, 3 ways, 3)."""
    srgb = rgb / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    ways = np.stack([np.clip(linear @ np.array(way).T, 0, 1) for way in _VISIONS], axis=1)
    return _linear_to_oklab(ways)


def _distances(colours: NDArray[np.float64], one: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest of three distances of each colour (C, 3, 3) to one (3, 3), weighted."""
    out: NDArray[np.float64] = (np.linalg.norm(colours - one, axis=-1) * _WEIGHTS).min(-1)
    return out


_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _linear_to_oklab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear sRGB (..., 3) to OKLab (Ottosson 2020)."""
    out: NDArray[np.float64] = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    return out


def _oklab_to_linear(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """OKLab (C, 3) to linear sRGB (C, 3); outside [0, 1] where a screen cannot show it."""
    linear: NDArray[np.float64] = (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_LMS).T
    return linear
