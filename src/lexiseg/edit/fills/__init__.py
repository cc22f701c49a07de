"""Ways to fill a hole from what is around it, by name; none needs weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.fills import classic, exemplar
from lexiseg.edit.fills.membrane import membrane

__all__ = ["FILLS", "SLIGHT", "depth", "fill", "membrane"]

Fill = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.uint8]]

FILLS: dict[str, Fill] = {
    "exemplar": exemplar.fill,
    "shift-map": classic.shift_map,
    "fsr": classic.fsr,
    "telea": classic.telea,
    "biharmonic": classic.biharmonic,
    "smooth": classic.smooth,
}
SLIGHT = 3.0  # holes less deep than this, in pixels, have no room for texture


def fill(
    rgb: NDArray[np.uint8], hole: NDArray[np.bool_], name: str = "auto"
) -> tuple[NDArray[np.uint8], str]:
    """Return rgb, (H, W, 3), with the hole, (H, W), filled, and the name of the fill that did it.

    name: one of `FILLS`, or "auto": by the depth of the hole, scratches by `telea`, all else by
        `exemplar`. Known pixels stay bit by bit.
    """
    if name == "auto":
        name = "telea" if depth(hole) < SLIGHT else "exemplar"
    return FILLS[name](rgb, hole), name


def depth(hole: NDArray[np.bool_]) -> float:
    """Return how far the innermost pixel of a hole is from what is known, in pixels.

    The picture's edge is not known either, so a hole along it is deeper than it is wide.
    """
    import cv2

    return float(cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5).max())
