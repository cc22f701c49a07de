"""Ways to fill a hole from what is around it, by name; none needs weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.fills import classic, exemplar
from lexiseg.edit.fills.membrane import membrane

__all__ = ["FILLS", "MIN_DEPTH", "Fill", "choose_fill", "depth_of", "membrane"]

Fill = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.uint8]]

# Each takes rgb, (H, W, 3), and a hole, (H, W), and returns rgb with the hole filled; known pixels
# stay bit by bit.
FILLS: dict[str, Fill] = {
    "exemplar": exemplar.fill,
    "shift-map": classic.shift_map,
    "fsr": classic.fsr,
    "telea": classic.telea,
    "biharmonic": classic.biharmonic,
    "smooth": classic.smooth,
}
MIN_DEPTH = 3.0  # holes less deep than this, in pixels, have no room for texture


def choose_fill(hole: NDArray[np.bool_]) -> str:
    """Return the name of the fill for a hole by its depth: scratches `telea`, else `exemplar`."""
    return "telea" if depth_of(hole) < MIN_DEPTH else "exemplar"


def depth_of(hole: NDArray[np.bool_]) -> float:
    """Return how far the innermost pixel of a hole is from what is known, in pixels.

    The picture's edge is not known either, so a hole along it is deeper than it is wide.
    """
    import cv2

    return float(cv2.distanceTransform(hole.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5).max())
