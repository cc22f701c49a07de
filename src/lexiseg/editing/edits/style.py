"""Restyling what was meant by the filters of classical image processing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.editing.blend import blended
from lexiseg.editing.outcome import Outcome
from lexiseg.editing.region import Scene, region
from lexiseg.editing.window import clear_of_edges
from lexiseg.errors import UnknownName

__all__ = ["STYLES", "SUMMARY", "Config", "edit"]

SUMMARY = "restyle what was meant, by a filter, or as words describe"
_MARGIN = 24  # pixels around the region that filters see


@dataclass(frozen=True)
class Config:
    """Which style.

    with_: "stylise" (flat areas, dark edges), "sketch" (pencil), "coloured-sketch", "cartoon",
        "oil", "detail" (stronger texture), "grey".
    dilation, blur: pixels of the region's border.
    """

    with_: str = "stylise"
    dilation: int = 0
    blur: int = 3


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with the region restyled."""
    if config.with_ not in STYLES:
        raise UnknownName.among("style", config.with_, STYLES)
    where = region(scene.mask, dilation=config.dilation, blur=config.blur)
    part, inner = clear_of_edges(scene.picture.rgb, where, _MARGIN)
    return Outcome((blended(scene.picture, where, STYLES[config.with_](part)[inner]),))


def _stylise(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.stylization(rgb, sigma_s=60, sigma_r=0.45), np.uint8)


def _sketch(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    grey, _ = cv2.pencilSketch(rgb, sigma_s=60, sigma_r=0.07, shade_factor=0.05)
    return np.ascontiguousarray(grey[..., None].repeat(3, axis=2))


def _coloured_sketch(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.pencilSketch(rgb, sigma_s=60, sigma_r=0.07, shade_factor=0.05)[1])


def _cartoon(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Few flat colours under dark outlines."""
    import cv2

    smooth: Any = rgb
    for _ in range(3):
        smooth = cv2.bilateralFilter(smooth, 9, 40, 7)
    hsv = cv2.cvtColor(smooth, cv2.COLOR_RGB2HSV)
    levels = np.linspace(0, 255, 9)
    hsv[..., 2] = np.rint(levels[np.rint(hsv[..., 2] / 255 * 8).astype(int)])
    hsv[..., 1] = np.minimum(hsv[..., 1].astype(np.float32) * 1.3, 255)
    flat = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    grey = cv2.medianBlur(cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY), 5)
    lines = cv2.adaptiveThreshold(
        grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 4
    )  # fmt: skip
    return np.asarray(np.where(lines[..., None] > 0, flat, flat // 3), np.uint8)


def _oil(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.xphoto.oilPainting(rgb, 4, 1), np.uint8)


def _detail(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.detailEnhance(rgb, sigma_s=10, sigma_r=0.15), np.uint8)


def _grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(grey[..., None].repeat(3, axis=2))


STYLES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "stylise": _stylise,
    "sketch": _sketch,
    "coloured-sketch": _coloured_sketch,
    "cartoon": _cartoon,
    "oil": _oil,
    "detail": _detail,
    "grey": _grey,
}
