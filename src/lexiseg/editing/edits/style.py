"""Restyling what was meant by the filters of classical image processing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.editing.blend import blended
from lexiseg.editing.drawn import Drawn, drawn
from lexiseg.editing.generate import means_words
from lexiseg.editing.outcome import Outcome
from lexiseg.editing.region import Scene, border, region
from lexiseg.editing.window import with_margin
from lexiseg.errors import UnknownName

__all__ = ["STYLES", "SUMMARY", "Config", "edit", "worded"]

SUMMARY = "restyle what was meant, by a filter, or as words describe"
_MARGIN = 24  # pixels around the region that filters see


@dataclass(frozen=True)
class Config(Drawn):
    """Which style.

    with_: "stylise" (flat areas, dark edges), "sketch" (pencil), "coloured-sketch", "cartoon",
        "oil", "detail" (stronger texture), "grey"; or words, for the model.
    strength: how much of what was there a model gives up; its structure stays with little.
    dilation, blur: pixels of the region's border; None: 0 and 3, and as `remove`
        for a model.
    model: the network for words; None: "sd-2-inpainting".
    steps, guidance, negative, seeds, context, progress: of that network, see `Drawn`.
    """

    with_: str = "stylise"
    strength: float = 0.55
    dilation: int | None = None
    blur: int | None = None


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with the region restyled."""
    words = worded(config)
    size_hw = scene.picture.size_hw
    dilation, blur = border(config.dilation, config.blur, size_hw, generous=words is not None)
    where = region(scene.mask, dilation=dilation, blur=blur)
    if words is not None:
        # The region's own latents, with noise, are what denoising starts from.
        return drawn(scene.picture, where, words, config, config.strength)
    part, inner = with_margin(scene.picture.rgb, where, _MARGIN)
    return Outcome((blended(scene.picture, where, STYLES[config.with_](part)[inner]),))


def worded(config: Config) -> str | None:
    """Return what the model is asked for; None for a filter. Raises UnknownName for a typo."""
    if config.model is None and config.with_ in STYLES:
        return None
    if config.model is None and not means_words(config.with_, tuple(STYLES)):
        raise UnknownName.among("style", config.with_, STYLES)
    return config.with_


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
