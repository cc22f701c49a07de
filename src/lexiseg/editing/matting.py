"""Soft edges: how much of each pixel belongs to what was meant, and which colour that part has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.editing.window import extent
from lexiseg.errors import ExtraMissing, OptionError, UnknownName

__all__ = ["EDGES", "foreground", "matte"]

EDGES = ("soft", "closed-form", "hard")
_EPSILON = 1e-5 * 255**2  # a variance of colour below this is no edge


def matte(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], edges: str = "soft", band: int | None = None
) -> NDArray[np.float32]:
    """Return the opacity of what was meant, (H, W) float32 in [0, 1].

    rgb: (H, W, 3). mask: (H, W). edges: "soft" follows the picture by the guided filter (He, Sun
    and Tang 2013); "closed-form" solves for it (Levin, Lischinski and Weiss 2008), better in hair,
    and slower, through PyMatting; "hard" is the mask.
    band: how far from the mask's edge opacity may differ from the mask, in pixels; None: a
    thirtieth of the mask's shorter side, from 2 to 20.
    """
    import cv2

    if edges not in EDGES:
        raise UnknownName.among("kind of edges", edges, EDGES)
    if band is None:
        band = min(20, max(2, extent(mask) // 30))
    if not 1 <= band <= 500:
        raise OptionError(f"band is {band}; give pixels from 1 to 500")
    hard = mask.astype(np.float32)
    if edges == "hard":
        return hard
    size = 2 * band + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    # Beyond the picture's edge things go on as they are.
    sure = cv2.erode(mask.astype(np.uint8), disc, borderType=cv2.BORDER_REPLICATE).astype(bool)
    perhaps = cv2.dilate(mask.astype(np.uint8), disc, borderType=cv2.BORDER_REPLICATE).astype(bool)
    soft: NDArray[Any]
    if edges == "closed-form":
        soft = _closed_form(rgb, sure, perhaps)
    else:
        soft = cv2.ximgproc.guidedFilter(rgb, hard, band, _EPSILON)
        soft = (soft - 0.1) / 0.8  # the filter shrinks the range, which leaves a veil
    return np.where(sure, 1, np.where(perhaps, np.clip(soft, 0, 1), 0)).astype(np.float32)


def _closed_form(
    rgb: NDArray[np.uint8], sure: NDArray[np.bool_], perhaps: NDArray[np.bool_]
) -> NDArray[np.float64]:
    try:
        from pymatting import estimate_alpha_cf
    except ImportError as error:
        raise ExtraMissing(
            "edges 'closed-form' need PyMatting; pip install 'lexiseg[matting]'"
        ) from error
    trimap = np.where(sure, 1.0, np.where(perhaps, 0.5, 0.0))
    if not (trimap == 1).any() or not (trimap == 0).any():
        raise OptionError(
            "what was meant is too thin or fills the picture, so its edges cannot be solved for; "
            "use edges 'soft', or a smaller band"
        )
    return np.asarray(estimate_alpha_cf(rgb.astype(np.float64) / 255, trimap))


def foreground(rgb: NDArray[np.uint8], opacity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the colours of what was meant alone, (H, W, 3), without what shines through.

    Blurred estimates of both sides, corrected so that they mix to the picture (Forte, Approximate
    fast foreground colour estimation, 2021). Where opacity is 1 colours stay bit by bit; where it
    is 0 they are 0, so that nothing of the background is left.
    """
    import cv2

    image = rgb.astype(np.float32)
    alpha = opacity[..., None]
    front = back = image
    for radius in (90, 6):
        size = (min(radius, 2 * max(opacity.shape) - 1),) * 2
        share = cv2.blur(opacity, size)[..., None]
        near = cv2.blur(front * alpha, size) / (share + 1e-5)
        far = cv2.blur(back * (1 - alpha), size) / (1 - share + 1e-5)
        front = near + alpha * (image - alpha * near - (1 - alpha) * far)
        front, back = np.clip(front, 0, 255), np.clip(far, 0, 255)
    out = np.rint(front).astype(np.uint8)
    out = np.where(alpha == 1, rgb, out)
    return np.where(alpha == 0, 0, out).astype(np.uint8)
