"""Which of the eleven basic colour terms (Berlin and Kay 1969) a thing has, measured in CIELAB.

A colour has a name by its place in CIELAB; a thing has a colour if it covers enough of it. What is
measured is the inside of a mask without its darkest and brightest pixels, so that shadows,
highlights and a rim of background do not count. Each pixel is named twice: as it is, and with the
lightness and chroma of the most colourful pixels of its hue, since in a thing of one material
neither shading nor highlights change the hue (dichromatic reflection, Shafer 1985): the dark side
of an orange is orange, and no brown. White balance was tried, and named fewer fruits rightly.

The constants are chosen on training photos: things recoloured to named colours, and fruit and
vegetables of known colour under the lamps of shops.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BASIC_COLOURS", "colour_shares", "has_colour", "leading_colours", "name_colours",
    "wears_colour",
]  # fmt: skip

BASIC_COLOURS = (
    "black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown",
)  # fmt: skip
_NEUTRAL = ("black", "white", "grey")

_GREY_CHROMA = 9.0  # below this a colour has no hue that anyone would name
_RIM = 0.03  # of the square root of a mask's area: how far the rim reaches in
_SHADOWS, _HIGHLIGHTS = 0.1, 0.05  # parts of the pixels that do not count, darkest and brightest
_HUES, _SAME_HUE = 12, 30.0  # sectors of hues; degrees from a sector's middle: of its material
_COLOURFUL = 0.7  # quantile of chroma: pixels above show the colour of the material itself
_MIN_SHARE = 0.22  # of a colour that a thing has
_MIN_NEUTRAL = 0.40  # of black, white or grey: windows, tyres and shadows have these on any car
_OF_LARGEST = 0.5  # of the largest share among colours with a hue
_MAX_PIXELS = 20_000
# Of ginger fur the paler part is brown, and red hair is orange.
_GINGER = 0.12
_FURRY = frozenset({
    "hair", "beard", "fur", "cat", "kitten", "dog", "puppy", "fox", "squirrel",
})  # fmt: skip
_RED_HAIR = frozenset({"hair", "beard", "fur", "fox", "squirrel"})
_MIN_WORN, _MIN_WORN_NEUTRAL, _OF_SHADE = 0.15, 0.30, 0.8
# What a colour looks like in the shade or in bright light: of these who wears them has the larger.
_SHADES: Mapping[str, tuple[str, ...]] = {
    "grey": ("black", "white"), "red": ("pink", "brown"), "pink": ("red",), "orange": ("brown",),
    "brown": ("orange", "red"),
}  # fmt: skip


def name_colours(lab: NDArray[np.floating]) -> NDArray[np.int8]:
    """Return which of ``BASIC_COLOURS`` each colour is, (n,) int8.

    lab: (n, 3) CIELAB of white D65: L in [0, 100], a and b. By lightness L, chroma C and hue h in
    degrees, with borders after the regions that people name in the World Color Survey (Kay et al.
    2009) and the focal colours of English (Sturges and Whitfield 1995), placed by hand.
    """
    light, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    name = np.full(len(lab), -1, np.int8)

    def give(colour: str, where: NDArray[np.bool_]) -> None:
        name[where & (name < 0)] = BASIC_COLOURS.index(colour)

    warm = (hue < 106) | (hue >= 345)
    # Light and dark colours need more chroma to look coloured; paper under lamps is white.
    neutral = chroma < np.where(light > 75, 12.0, _GREY_CHROMA) + np.where(light > 88, 5.0, 0.0)
    dark = (light < 14) & (chroma < 16) | (light < 24) & (chroma < 14) | (light < 30) & (chroma < 7)
    give("black", dark)
    give("white", neutral & (light >= 78))
    give("grey", neutral)
    reddish = (hue < 48) | (hue >= 345)
    give("pink", reddish & (light >= 62) & (chroma < 62) & ((hue < 40) | (hue >= 345)))
    give("pink", ((hue >= 318) | (hue < 10)) & (light >= 52))
    give("purple", (hue >= 308) & (hue < 352) & (light < 60))
    dull = (chroma < 36) & (chroma < 1.3 * light)  # in the shade red keeps its saturation
    give("brown", reddish & (light < 48) & dull & (hue >= 18) & (hue < 345))
    give("red", reddish & ((light < 62) | (hue < 38)))
    # School buses, taxis and bananas.
    give("yellow", (hue >= 71) & (light >= 52) & (chroma >= 45) & warm)
    give("orange", (hue < 76) & (light >= 47) & (chroma >= 48) & warm)
    give("brown", (hue < 86) & (light < 76) & warm)
    give("brown", (hue < 98) & (light < 52) & warm)
    give("yellow", warm & (light >= 55) & (chroma >= 24))
    give("white", warm & (light >= 82))
    give("brown", warm & (hue < 100) & (light < 82))
    give("green", hue < 202)
    give("blue", hue < np.where((light < 45) & (chroma > 70), 309.0, 299.0))
    give("purple", name < 0)
    return name


def colour_shares(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how much of a thing has each of ``BASIC_COLOURS``, (11,), summing to 1.

    rgb: (h, w, 3). mask: (h, w), with at least one pixel. Both may be a crop around the thing.
    """
    import cv2

    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    inside = depth > _RIM * np.sqrt(np.count_nonzero(mask)) + 0.5
    pixels = rgb[inside if np.count_nonzero(inside) > 0.3 * np.count_nonzero(mask) else mask]
    pixels = pixels[:: max(1, len(pixels) // _MAX_PIXELS)]
    lab = cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[0]
    order = np.argsort(lab[:, 0], kind="stable")
    first, last = int(_SHADOWS * len(order)), len(order) - int(_HIGHLIGHTS * len(order))
    lab = lab[order[first : max(last, first + 1)]]
    names = np.concatenate([name_colours(lab), name_colours(_without_shading(lab))])
    counts = np.bincount(names, minlength=len(BASIC_COLOURS)).astype(np.float64)
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _without_shading(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours with the lightness and chroma of the most colourful ones of their hue, (n, 3)."""
    chroma, angle = np.hypot(lab[:, 1], lab[:, 2]), np.arctan2(lab[:, 2], lab[:, 1])
    hue = np.degrees(angle) % 360
    hued = chroma > _GREY_CHROMA
    sector = np.where(hued, hue * _HUES // 360, -1)
    out = lab.copy()
    for k in np.unique(sector[hued]).tolist():
        middle = (k + 0.5) * 360 / _HUES
        near = hued & (np.abs((hue - middle + 180) % 360 - 180) < _SAME_HUE)
        body = near & (chroma >= np.quantile(chroma[near], _COLOURFUL))
        own = sector == k
        pure = np.median(chroma[body])
        out[own, 0] = np.median(lab[body, 0])
        out[own, 1], out[own, 2] = pure * np.cos(angle[own]), pure * np.sin(angle[own])
    return out


def has_colour(shares: NDArray[np.floating], colour: str, noun: str = "") -> bool:
    """Whether a thing with these shares, (11,), is called by a colour.

    A hue needs some of it, and half of what the largest other hue has; black, white and grey need
    more. noun: what the thing is; hair that is orange is called red, and ginger fur orange.
    """
    share = shares[BASIC_COLOURS.index(colour)]
    if noun in _FURRY and colour == "orange" and share >= _GINGER:
        share += shares[BASIC_COLOURS.index("brown")]
    if noun in _RED_HAIR and colour == "red":
        share += shares[BASIC_COLOURS.index("orange")]
    if colour in _NEUTRAL:
        return bool(share >= _MIN_NEUTRAL)
    largest = max(shares[k] for k, name in enumerate(BASIC_COLOURS) if name not in _NEUTRAL)
    return bool(share >= _MIN_SHARE and share >= _OF_LARGEST * largest)


def wears_colour(shares: NDArray[np.floating], colour: str) -> bool:
    """Whether a person with these shares, (11,), is one "in red": a part of what is worn is."""
    share = shares[BASIC_COLOURS.index(colour)]
    shaded = max((shares[BASIC_COLOURS.index(one)] for one in _SHADES.get(colour, ())), default=0)
    least = _MIN_WORN_NEUTRAL if colour in _NEUTRAL else _MIN_WORN
    return bool(share >= least and share >= _OF_SHADE * shaded)


def leading_colours(shares: NDArray[np.floating]) -> str:
    """Return the one or two colours that a thing has most of, for people: "grey and black"."""
    order = np.argsort(-shares, kind="stable")[:2].tolist()
    return " and ".join(BASIC_COLOURS[k] for k in order if shares[k] >= 0.25 or k == order[0])
