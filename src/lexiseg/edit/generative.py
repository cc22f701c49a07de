"""Regions made by a network: cropped with context, filled at its own size, brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.blend import blended
from lexiseg.edit.region import Outcome, Region
from lexiseg.edit.xmp import GENERATED
from lexiseg.errors import OptionError
from lexiseg.imaging import Picture
from lexiseg.protocols import Inpainter, LoadOptions

__all__ = [
    "DEFAULT_MODEL", "Generation", "Model", "check_strength", "describes", "generate",
    "load_inpainter",
]  # fmt: skip

DEFAULT_MODEL = "sd-2-inpainting"  # what words are for where no model is named
_MIN_CONTEXT = 32

Model = str | Path | Inpainter  # a checkpoint's name, its folder, or what is loaded already


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How a network makes pixels: what the Configs share of operations for which one may.

    model: a checkpoint of `lexiseg models`, a folder as diffusers saves it, or an Inpainter.
    steps: of denoising. guidance: how strictly it follows the words. negative: what not to show.
    seeds: a picture for each.
    context: how much around the region it sees, as a part of the region.
    progress: called with (step, steps).

    Raises OptionError for a value out of range.
    """

    model: Model | None = None
    steps: int = 50
    guidance: float = 7.5
    negative: str = ""
    seeds: tuple[int, ...] = (0,)
    context: float = 0.5
    progress: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1000:
            raise OptionError(f"steps is {self.steps}; give from 1 to 1000")
        if not self.seeds:
            raise OptionError("seeds is empty; give at least one number")
        if not 0 <= self.context <= 10:
            raise OptionError(f"context is {self.context:g}; give a number from 0 to 10")

    def text_prompt(self) -> str | None:
        """Return what a network is asked for; None where none is needed."""
        return None

    def wanted_model(self) -> Model | None:
        """Return the network that these settings need, None for none."""
        if self.text_prompt() is None:
            return None
        return DEFAULT_MODEL if self.model is None else self.model


def check_strength(strength: float, steps: int) -> None:
    """Raise OptionError for a strength that is not in (0, 1], or leaves no step."""
    if not 0 < strength <= 1:
        raise OptionError(f"strength is {strength:g}; give a number above 0, at most 1")
    if int(steps * strength) < 1:
        raise OptionError(f"{steps} steps at strength {strength:g} are none; give more of either")


def load_inpainter(model: Model, options: LoadOptions | None = None) -> Inpainter:
    """Return an inpainter: by the name or folder of its checkpoint, or as it was given.

    options: where it computes, and whether weights may be downloaded. Raises as
    `models.load_inpainter`.
    """
    if not isinstance(model, str | Path):
        return model
    from lexiseg import models

    return models.load_inpainter(model, options)


def describes(text: str, names: tuple[str, ...]) -> bool:
    """Whether a text describes something, and is not a misspelt one of `names`."""
    return not get_close_matches(text, names, 1, 0.7)


def generate(
    picture: Picture, where: Region, prompt: str, config: Generation, strength: float = 1.0
) -> Outcome:
    """Return the picture with what a network makes of a prompt, once a seed, marked as such.

    strength: how much of what was there is given up, in (0, 1]; 1 starts from noise alone.

    The network sees the region and `context` around it, at the size that it was trained at, so that
    a small thing in a large photo is made in full detail; it fills wherever the weight is above 0.
    """
    check_strength(strength, config.steps)
    network = load_inpainter(DEFAULT_MODEL if config.model is None else config.model)
    margin = max(_MIN_CONTEXT, round(config.context * max(where.weight.shape)))
    outer, inner = where.with_margin(picture.size_hw, margin)
    crop = np.ascontiguousarray(picture.rgb[outer])
    height, width = crop.shape[:2]
    hole = np.zeros((height, width), np.bool_)
    hole[inner] = where.weight > 0
    rgb, mask = _at_size(crop, hole, _network_size((height, width), network))
    made = network.fill(
        rgb,
        mask,
        prompt,
        strength=strength,
        steps=config.steps,
        guidance=config.guidance,
        negative=config.negative,
        seeds=config.seeds,
        progress=config.progress,
    )
    pictures = (blended(picture, where, _resized(one, (height, width))[inner]) for one in made)
    return Outcome(tuple(pictures), GENERATED, (f"made by {network.name}",))


def _at_size(
    rgb: NDArray[np.uint8], hole: NDArray[np.bool_], size_hw: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Colours and hole at the size of a network."""
    import cv2

    if size_hw == hole.shape:
        return rgb, hole
    # Any part of a pixel that may change has to be filled, and what interpolation mixes into it.
    share = cv2.resize(hole.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    grown = cv2.dilate((share > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return _resized(rgb, size_hw), np.asarray(grown)


def _resized(rgb: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Colours at another size, without aliasing."""
    import cv2

    if rgb.shape[:2] == size_hw:
        return rgb
    smaller = size_hw[0] * size_hw[1] < rgb.shape[0] * rgb.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size_hw[::-1], interpolation=way), np.uint8)


def _network_size(size_hw: tuple[int, int], model: Inpainter) -> tuple[int, int]:
    """The size at which a network fills a crop: its own, in the crop's proportions."""
    if model.side is None:
        return size_hw
    scale = model.side / max(size_hw)
    height, width = (
        max(model.multiple, round(side * scale / model.multiple) * model.multiple)
        for side in size_hw
    )
    return height, width
