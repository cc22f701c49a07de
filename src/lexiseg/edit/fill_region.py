"""A region of a picture, filled from its surroundings: at a working resolution, in full detail.

A fill looks at the region and as much around it as it is large. Where that is more than fills are
made for, it is done on a smaller picture, and enlarged; what the enlargement lacks is copied, at
full resolution, from where the smaller fill copied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.fills import FILLS, choose_fill
from lexiseg.edit.fills.exemplar import Synthesis, synthesize
from lexiseg.edit.fills.membrane import membrane
from lexiseg.edit.region import Region
from lexiseg.errors import PromptError
from lexiseg.imaging import Picture

__all__ = ["Filled", "fill_region"]

_MIN_CONTEXT = 64
_MAX_WINDOW = 1_200_000  # pixels on which a fill works
_MAX_HOLE = 100_000  # pixels of a hole
_SLOW_FILLS = {"shift-map": 0.4}  # of these, so many times less: half a millisecond a pixel
_BAND_ROWS = 128
_MOST_AVOIDED = 0.7  # of the surroundings: with less to copy from, what is to be avoided is not


@dataclass(frozen=True, eq=False)
class Filled:
    """What may lie behind a region, over its box: colours (h, w, 3), alpha (h, w), and the fill.

    alpha: None where the picture has none.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    fill: str


def fill_region(
    picture: Picture,
    where: Region,
    name: str = "auto",
    *,
    max_hole: int = _MAX_HOLE,
    avoid: NDArray[np.bool_] | None = None,
) -> Filled:
    """Return what may lie behind a region.

    The hole is wherever the region's weight is above 0; fully transparent pixels hold no colour to
    copy. name: one of `FILLS`, or "auto", by the depth of the hole: see `choose_fill`. max_hole:
    pixels of a hole beyond which a smaller picture is filled. avoid: (H, W), places that are not
    copied from either, as long as enough is left. Raises PromptError where nothing of the picture
    is left to fill from.
    """
    margin = max(_MIN_CONTEXT, *where.weight.shape)
    outer, inner = where.with_margin(picture.size_hw, margin)
    rgb = np.ascontiguousarray(picture.rgb[outer])
    hole = np.zeros(rgb.shape[:2], np.bool_)
    hole[inner] = where.weight > 0
    alpha = None if picture.alpha is None else picture.alpha[outer]
    hidden = np.zeros_like(hole) if alpha is None else alpha == 0
    if (hole | hidden).all():
        raise PromptError(
            "the region covers all of the picture, so nothing is left to fill it from; ask for "
            "something smaller, or give a colour as the fill"
        )
    if avoid is not None:
        both = hidden | (avoid[outer] & ~hole)
        if (hole | both).mean() <= _MOST_AVOIDED:
            hidden = both
    chosen = choose_fill(hole) if name == "auto" else name
    window = _Window(rgb, hole, hidden)
    working = window.shrunk(_working_scale(hole, chosen, max_hole))
    synthesis = _fill(working, chosen)
    filled = synthesis.rgb if working is window else _enlarge(synthesis, window)
    if alpha is None:
        return Filled(filled[inner], None, chosen)
    return Filled(filled[inner], _fill_alpha(alpha, hole, working.rgb.shape[:2])[inner], chosen)


@dataclass(frozen=True, eq=False)
class _Window:
    """A picture to be filled, (H, W, 3), its hole, and what else of it holds no colour, (H, W)."""

    rgb: NDArray[np.uint8]
    hole: NDArray[np.bool_]
    hidden: NDArray[np.bool_]

    def shrunk(self, scale: float) -> _Window:
        """Return the same so many times smaller: means over what is known."""
        if scale == 1:
            return self
        size_hw = tuple(max(1, round(side / scale)) for side in self.hole.shape)
        planes = np.moveaxis(self.rgb, 2, 0)
        mean, share = _mean_outside(planes, self.hole | self.hidden, size_hw)
        (gone,), _ = _mean_outside([self.hole], np.zeros_like(self.hole), size_hw)
        unknown = share < min(0.5, float(share.max()))
        hole = unknown & (2 * gone >= 1 - share)
        rgb = np.rint(mean.transpose(1, 2, 0)).astype(np.uint8, order="C")
        return _Window(rgb, hole, unknown & ~hole)


def _mean_outside(
    planes: Iterable[NDArray[Any]], unknown: NDArray[np.bool_], size_hw: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Planes, (H, W) each, at a smaller size, (C, h, w): means over what is known of them.

    And the part that is known, (h, w) in [0, 1]. One plane after the other: large photos are large
    in floats.
    """
    import cv2

    def area(plane: NDArray[Any]) -> NDArray[np.float32]:
        full = plane.astype(np.float32)
        full[unknown] = 0
        small = cv2.resize(full, size_hw[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float32).reshape(size_hw)

    share = area(~unknown)
    total = np.stack([area(plane) for plane in planes])
    return np.asarray(total / np.maximum(share, 1e-6), np.float32), share


def _working_scale(hole: NDArray[np.bool_], name: str, max_hole: int) -> float:
    """How many times smaller the picture is on which a hole is filled; 1: it is not."""
    if name == "telea" and choose_fill(hole) == "telea":
        return 1.0  # scratches: local, and lost on a smaller picture
    most = max_hole * _SLOW_FILLS.get(name, 1)
    return float(max(1.0, np.count_nonzero(hole) / most, hole.size / _MAX_WINDOW) ** 0.5)


def _fill(window: _Window, name: str) -> Synthesis:
    """Fill a hole, and what is hidden too."""
    unknown = window.hole | window.hidden
    if name != "exemplar":
        rgb = FILLS[name](window.rgb, unknown)
        return Synthesis(rgb, np.zeros((*unknown.shape, 2), np.int32), np.zeros_like(unknown))
    # Hidden pixels are not searched for, as they would be in a hole; nor may they look black.
    rgb = FILLS["smooth"](window.rgb, unknown) if window.hidden.any() else window.rgb
    return synthesize(rgb, window.hole, ~unknown)


def _enlarge(small: Synthesis, window: _Window) -> NDArray[np.uint8]:
    """The window filled as a smaller picture was, with the detail of the places it copied from.

    A pixel is the enlarged fill, and whatever the picture has more than its own enlargement at the
    place from which the smaller fill copied there.
    """
    import cv2

    height, width = window.hole.shape
    smooth = np.asarray(cv2.resize(small.rgb, (width, height), interpolation=cv2.INTER_LINEAR))
    out = cv2.copyTo(smooth, window.hole.view(np.uint8), window.rgb.copy())
    known = ~(window.hole | window.hidden)
    scale = np.array(known.shape) / small.copied.shape
    shifts = np.rint(small.shifts * scale).astype(np.int32)
    for top in range(0, height, _BAND_ROWS):
        places = np.argwhere(window.hole[top : top + _BAND_ROWS]) + np.array((top, 0))
        cells = tuple(((places + 0.5) / scale).astype(np.int64).T)
        sources = places + shifts[cells]
        inside = small.copied[cells] & ((sources >= 0) & (sources < known.shape)).all(1)
        places, sources = places[inside], sources[inside]
        copyable = known[tuple(sources.T)]
        at, of = tuple(places[copyable].T), tuple(sources[copyable].T)
        detail = window.rgb[of].astype(np.int16) - smooth[of]
        out[at] = np.clip(smooth[at] + detail, 0, 255)
    return np.asarray(out)


def _fill_alpha(
    alpha: NDArray[np.uint8], hole: NDArray[np.bool_], size_hw: tuple[int, int]
) -> NDArray[np.uint8]:
    """Transparency with the hole filled smoothly; 0 where nothing else is in sight."""
    import cv2

    around = alpha[~hole]
    if around.min() == around.max():
        return np.where(hole, around[0], alpha)
    (mean,), share = _mean_outside([alpha], hole, size_hw)
    surface = membrane(mean[..., None], share < min(0.5, float(share.max())))[..., 0]
    full = cv2.resize(surface, hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(hole, np.rint(full), alpha).astype(np.uint8)
