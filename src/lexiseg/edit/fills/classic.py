"""Fills of OpenCV and scikit-image behind one signature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.fills.membrane import membrane
from lexiseg.errors import ExtraMissing

__all__ = ["biharmonic", "fsr", "shift_map", "smooth", "telea"]


def telea(rgb: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Telea's fast marching (2004), through OpenCV; radius 3 pixels."""
    import cv2

    return np.asarray(cv2.inpaint(rgb, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)


def smooth(rgb: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The membrane: as smooth as can be, without any texture."""
    out = np.clip(np.rint(membrane(rgb.astype(np.float32), hole)), 0, 255)
    return np.where(hole[..., None], out, rgb).astype(np.uint8)


def biharmonic(rgb: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The biharmonic equation (Damelin and Hoang 2018), through scikit-image: for small holes."""
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise ExtraMissing(
            "the fill 'biharmonic' needs scikit-image; pip install 'lexiseg[edit]'"
        ) from error
    out = inpaint_biharmonic(rgb.astype(np.float64) / 255, hole, channel_axis=2)
    out = np.clip(np.rint(255 * out), 0, 255).astype(np.uint8)
    return np.where(hole[..., None], out, rgb)


def shift_map(rgb: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Whole pieces shifted from elsewhere (He and Sun 2012), through OpenCV's xphoto."""
    import cv2

    return _xphoto(rgb, hole, cv2.xphoto.INPAINT_SHIFTMAP, cv2.COLOR_RGB2Lab, cv2.COLOR_Lab2RGB)


def fsr(rgb: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Frequency-selective reconstruction (Genser et al. 2018), through OpenCV: small holes."""
    import cv2

    return _xphoto(rgb, hole, cv2.xphoto.INPAINT_FSR_FAST, None, None)


def _xphoto(
    rgb: NDArray[np.uint8],
    hole: NDArray[np.bool_],
    kind: int,
    there: int | None,
    back: int | None,
) -> NDArray[np.uint8]:
    import cv2

    known = (~hole).astype(np.uint8) * 255  # xphoto marks what is known
    given = np.ascontiguousarray(rgb if there is None else cv2.cvtColor(rgb, there))
    out = np.zeros_like(given)
    cv2.xphoto.inpaint(given, known, out, kind)
    out = out if back is None else cv2.cvtColor(out, back)
    return np.where(hole[..., None], out, rgb).astype(np.uint8)
