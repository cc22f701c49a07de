"""Restyling what was meant by the filters of classical image processing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.blend import blended
from lexiseg.edit.generative import Generation, check_strength, describes, generate
from lexiseg.edit.region import Outcome, Region, Scene, border_widths, crop_with_margin
from lexiseg.errors import UnknownName

__all__ = ["STYLES", "SUMMARY", "Config", "edit"]

SUMMARY = "restyle what was meant, by a filter, or as words describe"
_MARGIN = 24  # pixels around the region that filters see


@dataclass(frozen=True)
class Config(Generation):
    """Which style.

    with_: "stylise" (flat areas, dark edges), "sketch" (pencil), "coloured-sketch", "cartoon",
        "oil", "detail" (stronger texture), "grey"; or words, for the model.
    strength: how much of what was there a model gives up; its structure stays with little.
    dilation, blur: pixels of the region's border; None: 0 and 3, and as `remove`
        for a model.
    model: the network for words; None: "sd-2-inpainting".
    steps, guidance, negative, seeds, context, progress: of that network, see `Generation`.
    """

    with_: str = "stylise"
    strength: float = 0.55
    dilation: int | None = None
    blur: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_strength(self.strength, self.steps)

    def text_prompt(self) -> str | None:
        """Return what a network is asked for; None for a filter. Raises UnknownName for a typo."""
        if self.model is None and self.with_ in STYLES:
            return None
        if self.model is None and not describes(self.with_, tuple(STYLES)):
            raise UnknownName.among("style", self.with_, STYLES)
        return self.with_


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with the region restyled."""
    picture, prompt = scene.picture, config.text_prompt()
    dilation, blur = border_widths(
        config.dilation, config.blur, picture.size_hw, generous=prompt is not None
    )
    where = Region.from_mask(scene.mask, dilation=dilation, blur=blur)
    if prompt is not None:
        # The region's own latents, with noise, are what denoising starts from.
        return generate(picture, where, prompt, config, config.strength)
    part, inner = crop_with_margin(picture.rgb, where, _MARGIN)
    return Outcome((blended(picture, where, STYLES[config.with_](part)[inner]),))


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
