"""Regions made by a network: cropped with context, filled at its own size, brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.editing.region import Region
from lexiseg.editing.window import widened
from lexiseg.errors import OptionError
from lexiseg.imaging import Picture
from lexiseg.protocols import Inpainter

__all__ = ["DEFAULT", "Generation", "generated", "load", "means_words"]

DEFAULT = "sd-2-inpainting"  # what words are for where no model is named
_LEAST_CONTEXT = 32


@dataclass(frozen=True)
class Generation:
    """How a network fills.

    strength: how much of what was there is given up, in (0, 1]; 1 starts from noise alone.
    steps: of denoising. guidance: how strictly it follows the words. negative: what not to show.
    seeds: a picture for each. context: how much around the region it sees, as a part of the region.
    progress: called with (step, steps).
    """

    strength: float = 1.0
    steps: int = 50
    guidance: float = 7.5
    negative: str = ""
    seeds: tuple[int, ...] = (0,)
    context: float = 0.5
    progress: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise OptionError(f"strength is {self.strength:g}; give a number above 0, at most 1")
        if not 1 <= self.steps <= 1000:
            raise OptionError(f"steps is {self.steps}; give from 1 to 1000")
        if int(self.steps * self.strength) < 1:
            raise OptionError(
                f"{self.steps} steps at strength {self.strength:g} are none; give more of either"
            )
        if not self.seeds:
            raise OptionError("seeds is empty; give at least one number")
        if not 0 <= self.context <= 10:
            raise OptionError(f"context is {self.context:g}; give a number from 0 to 10")


def load(model: Any, **where: Any) -> Inpainter:
    """Return an inpainter: by the name or folder of its checkpoint, or as it was given.

    where: device, dtype, pull, offline, as for `lexiseg.load`. Raises as `models.load_inpainter`.
    """
    if not isinstance(model, str | Path):
        return model  # type: ignore[no-any-return]
    from lexiseg.models import load_inpainter

    return load_inpainter(model, **where)


def means_words(text: str, names: tuple[str, ...]) -> bool:
    """Whether a text describes something, and is not a misspelt one of `names`."""
    return not get_close_matches(text, names, 1, 0.7)


def generated(
    picture: Picture, where: Region, model: Inpainter, words: str, how: Generation
) -> list[NDArray[np.uint8]]:
    """Return what a network makes of a region: for each seed (h, w, 3) over the region's box.

    The network sees the region and `context` around it, at the size that it was trained at, so that
    a small thing in a large photo is made in full detail; it fills wherever the weight is above 0.
    """
    import cv2

    longest = max(where.weight.shape)
    margin = max(_LEAST_CONTEXT, round(how.context * longest))
    outer, inner = widened(where, picture.size_hw, margin)
    crop = np.ascontiguousarray(picture.rgb[outer])
    mask = np.zeros(crop.shape[:2], np.bool_)
    mask[inner] = where.weight > 0
    height, width = crop.shape[0], crop.shape[1]
    tall, wide = _size((height, width), model)
    if (tall, wide) == (height, width):
        found = _fill(model, crop, mask, words, how)
        return [one[inner] for one in found]
    way = cv2.INTER_AREA if tall * wide < height * width else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(crop, (wide, tall), interpolation=way), np.uint8)
    # Any part of a pixel that may change has to be filled, and what interpolation mixes into it.
    share = cv2.resize(mask.astype(np.float32), (wide, tall), interpolation=cv2.INTER_LINEAR)
    hole = cv2.dilate((share > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    found = _fill(model, scaled, np.asarray(hole), words, how)
    back = cv2.INTER_CUBIC if tall * wide < height * width else cv2.INTER_AREA
    return [
        np.asarray(cv2.resize(one, (width, height), interpolation=back), np.uint8)[inner]
        for one in found
    ]


def _fill(
    model: Inpainter,
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    words: str,
    how: Generation,
) -> NDArray[np.uint8]:
    """Call the network with the settings, (B, H, W, 3)."""
    return model.fill(
        rgb,
        mask,
        words,
        strength=how.strength,
        steps=how.steps,
        guidance=how.guidance,
        negative=how.negative,
        seeds=how.seeds,
        progress=how.progress,
    )


def _size(size_hw: tuple[int, int], model: Inpainter) -> tuple[int, int]:
    """The size at which a network fills a crop: its own, in the crop's proportions."""
    if model.side is None:
        return size_hw
    scale = model.side / max(size_hw)
    height, width = (
        max(model.multiple, round(side * scale / model.multiple) * model.multiple)
        for side in size_hw
    )
    return height, width
