"""Soft edges: how much of each pixel belongs to what was meant, and which colour that part has.

Both are worked out around edges alone, tile by tile, with as much around each tile as the filters
reach: the result is that of the whole picture, in a time and a memory that edges ask for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.region import Window, box_window, shorter_side
from lexiseg.errors import ExtraMissing, OptionError, UnknownName

__all__ = [
    "CONTEXT", "EDGES", "band_width", "check_edges", "foreground", "ground_matte", "matte"
]  # fmt: skip

EDGES = ("soft", "closed-form", "hard")
_EPSILON = 1e-5 * 255**2  # a variance of colour below this is no edge
_RADII = (90, 6)  # of the two passes of `foreground`
CONTEXT = sum(_RADII) // 2 + 1  # pixels around an edge that `foreground` sees
_TILE = 256
_RIM = 2  # pixels of a mask's border that are not counted on
_ALIKE = (8, 20)  # levels by which the same ground may differ, at least and at most


def check_edges(edges: str, band: int | None) -> None:
    """Raise UnknownName for no kind of edges, OptionError for a band that is too narrow or wide."""
    if edges not in EDGES:
        raise UnknownName.among("kind of edges", edges, EDGES)
    if band is not None and not 1 <= band <= 500:
        raise OptionError(f"band is {band}; give pixels from 1 to 500")


def band_width(mask: NDArray[np.bool_]) -> int:
    """Return the usual band around a mask's edge: a thirtieth of its shorter side, 2 to 20."""
    return min(20, max(2, shorter_side(mask) // 30))


def matte(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], edges: str = "soft", band: int | None = None
) -> NDArray[np.float32]:
    """Return the opacity of what was meant, (H, W) float32 in [0, 1].

    rgb: (H, W, 3). mask: (H, W). edges: "soft" follows the picture by the guided filter (He, Sun
    and Tang 2013); "closed-form" solves for it (Levin, Lischinski and Weiss 2008), better in hair,
    and slower, through PyMatting; "hard" is the mask.
    band: how far from the mask's edge opacity may differ from the mask, in pixels; None: see
    `band_width`. Twice as much keeps more of hair, and blurs edges without (benchmarks' row
    ``matting``). A part of the mask that would vanish, for it is a few pixels wide, stays hard.
    """
    check_edges(edges, band)
    band = band or band_width(mask)
    opacity = mask.astype(np.float32)
    if edges == "hard":
        return opacity
    unsure = _near_edge(mask, band)
    if edges == "closed-form":
        _solve_closed_form(rgb, mask, unsure, opacity)
    else:
        _filter_guided(rgb, mask, unsure, band, opacity)
    _keep_visible(mask, opacity)
    return opacity


def ground_matte(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], edges: str = "soft", band: int | None = None
) -> NDArray[np.float32]:
    """Return the opacity of a ground behind things, such as sky, (H, W) float32 in [0, 1].

    As `matte`, but what is within `band` of the mask and coloured as the mask is nearby belongs to
    it first: holes in foliage, and the strip that a map of coarse cells leaves around things. The
    filter alone takes half of such a strip for the thing. Opacity is found anew within half of the
    band from there, and is 0 farther from the mask than the band; None: twice `band_width`.
    """
    import cv2

    check_edges(edges, band)
    if edges == "hard":
        return mask.astype(np.float32)
    band = band or 2 * band_width(mask)
    away = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    near = (away > 0) & (away <= band)
    opacity = matte(rgb, _with_alike(rgb, mask, near, band), edges, max(1, band // 2))
    opacity[away > band] = 0
    return opacity


def foreground(rgb: NDArray[np.uint8], opacity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the colours of what was meant alone, (H, W, 3), without what shines through.

    Blurred estimates of both sides, corrected so that they mix to the picture (Forte, Approximate
    fast foreground colour estimation, 2021). Where opacity is 1 colours stay bit by bit; where it
    is 0 they are 0, so that nothing of the background is left.
    """
    import cv2

    out = np.zeros_like(rgb)
    cv2.copyTo(rgb, (opacity == 1).view(np.uint8), out)
    partial = (opacity > 0) & (opacity < 1)
    for tile, outer, inner in _tiles(partial, CONTEXT):
        front = _front(rgb[outer], opacity[outer])[inner]
        cv2.copyTo(front, partial[tile].view(np.uint8), out[tile])
    return out


def _with_alike(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], near: NDArray[np.bool_], band: int
) -> NDArray[np.bool_]:
    """The mask, and what near it is coloured as it is around there, and not as what is outside.

    That is, within 3 standard deviations of its mean, and half as far as from the other's.
    """
    import cv2

    out = mask.copy()
    for tile, outer, inner in _tiles(near, 2 * band + _RIM + 1):
        image, part = rgb[outer].astype(np.float32), mask[outer].view(np.uint8)
        # Its rim is of both, for masks are not exact.
        core = cv2.erode(part, np.ones((3, 3), np.uint8), iterations=_RIM)
        mean, spread = _local_colour(image, core == 1, 2 * band)
        other, _ = _local_colour(image, part == 0, 2 * band)
        away = np.abs(image - mean)
        alike = (away <= np.clip(3 * spread, *_ALIKE)).all(-1)
        alike &= 2 * away.max(-1) <= np.abs(image - other).max(-1)
        calm = cv2.medianBlur((alike | (part == 1)).view(np.uint8), 3)  # no specks of grain
        out[tile] |= near[tile] & (calm == 1)[inner]
    return out


def _local_colour(
    image: NDArray[np.float32], part: NDArray[np.bool_], radius: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of a part's colours around each pixel, (h, w, 3) each.

    Where nothing of it is around, the mean is far from all colours.
    """
    import cv2

    size, share = (2 * radius + 1,) * 2, part[..., None].astype(np.float32)
    count, total, squares = (
        cv2.blur(plane, size, borderType=cv2.BORDER_CONSTANT)
        for plane in (share, image * share, image**2 * share)
    )
    count = np.where(count < 0.5 / size[0] ** 2, np.float32(np.nan), count)[..., None]
    mean = np.nan_to_num(total / count, nan=-1000)
    spread = np.sqrt(np.maximum(np.nan_to_num(squares / count) - mean**2, 0))
    return mean, spread


def _front(rgb: NDArray[np.uint8], opacity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The colours of what is in front, wherever it is."""
    import cv2

    image = rgb.astype(np.float32)
    alpha = opacity[..., None]
    front = back = image
    for radius in _RADII:
        size = (min(radius, 2 * max(opacity.shape) - 1),) * 2
        share = cv2.blur(opacity, size)[..., None]
        near = cv2.blur(front * alpha, size) / (share + 1e-5)
        far = cv2.blur(back * (1 - alpha), size) / (1 - share + 1e-5)
        front = near + alpha * (image - alpha * near - (1 - alpha) * far)
        front, back = np.clip(front, 0, 255), np.clip(far, 0, 255)
    return np.rint(front).astype(np.uint8)


def _near_edge(mask: NDArray[np.bool_], band: int) -> NDArray[np.bool_]:
    """Pixels within `band` of the mask's edge, (H, W); beyond the picture all goes on as it is."""
    import cv2

    out = np.zeros_like(mask)
    for side in (mask, ~mask):  # one after the other: distances of large photos are large
        away = cv2.distanceTransform(side.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        out |= side & (away <= band)
    return out


def _filter_guided(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    unsure: NDArray[np.bool_],
    band: int,
    opacity: NDArray[np.float32],
) -> None:
    """Set the opacity of unsure pixels by the guided filter."""
    import cv2

    for tile, outer, inner in _tiles(unsure, 2 * band):
        guide, hard = np.ascontiguousarray(rgb[outer]), mask[outer].astype(np.float32)
        soft = cv2.ximgproc.guidedFilter(guide, hard, band, _EPSILON)[inner]
        # The filter shrinks the range, which leaves a veil.
        opacity[tile][unsure[tile]] = np.clip((soft - 0.1) / 0.8, 0, 1)[unsure[tile]]


def _solve_closed_form(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    unsure: NDArray[np.bool_],
    opacity: NDArray[np.float32],
) -> None:
    """Set the opacity of unsure pixels by the closed form."""
    try:
        from pymatting import estimate_alpha_cf
    except ImportError as error:
        raise ExtraMissing(
            "edges 'closed-form' need PyMatting; pip install 'lexiseg[matting]'"
        ) from error
    trimap = np.where(unsure, 0.5, mask)
    if not (trimap == 1).any() or not (trimap == 0).any():
        raise OptionError(
            "what was meant is too thin or fills the picture, so its edges cannot be solved for; "
            "use edges 'soft', or a smaller band"
        )
    rows, columns = box_window(unsure, 4)  # what is known farther away has no say
    solved = estimate_alpha_cf(rgb[rows, columns].astype(np.float64) / 255, trimap[rows, columns])
    part = unsure[rows, columns]
    opacity[rows, columns][part] = np.clip(solved, 0, 1)[part]


def _keep_visible(mask: NDArray[np.bool_], opacity: NDArray[np.float32]) -> None:
    """Make connected parts of the mask hard where nowhere half of their opacity is left."""
    import cv2

    window = box_window(mask, 0)
    part, soft = np.ascontiguousarray(mask[window]), opacity[window]
    count, labels = cv2.connectedComponents(part.view(np.uint8), connectivity=8)
    vanished = np.ones(count, np.bool_)
    vanished[labels[(soft >= 0.5) & part]] = False
    vanished[0] = False
    if vanished.any():
        soft[vanished[labels]] = 1


def _tiles(active: NDArray[np.bool_], margin: int) -> Iterator[tuple[Window, Window, Window]]:
    """Tiles that hold an active pixel: each, with `margin` around it, and the tile within that."""
    height, width = active.shape
    side = max(_TILE, margin)
    for top in range(0, height, side):
        bottom = min(height, top + side)
        for left in range(0, width, side):
            right = min(width, left + side)
            if not active[top:bottom, left:right].any():
                continue
            y, x = max(0, top - margin), max(0, left - margin)
            outer = slice(y, min(height, bottom + margin)), slice(x, min(width, right + margin))
            inner = slice(top - y, bottom - y), slice(left - x, right - x)
            yield (slice(top, bottom), slice(left, right)), outer, inner
