"""Prompts that are pictures: what a user shows in place of a word, or beside one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import PromptError
from lexiseg.prompts.clicks import Clicks, clip_box

__all__ = ["Example", "Like"]


@dataclass(frozen=True, eq=False)
class Example:
    """A picture that shows what is meant: all of it, a box of it, or what a mask marks.

    image: a path, a PIL image, an (H, W, 3) uint8 RGB array. box_xyxy: around the thing, in pixels
    of the upright image; x1 and y1 are just behind its last ones. mask: (H, W), true where it is.
    """

    image: Any
    box_xyxy: tuple[float, float, float, float] | None = None
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.box_xyxy is not None and self.mask is not None:
            raise PromptError("an example has a box and a mask; give one of the two")

    def inside(self, size_hw: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Return what is meant of a picture of this size, (H, W) bool; None: all of it."""
        if self.mask is not None:
            mask = np.asarray(self.mask)
            if mask.shape != size_hw:
                raise PromptError(
                    f"the example's mask is {mask.shape} and its picture {size_hw} (height, "
                    "width); give a mask of the picture's size"
                )
            return mask.astype(np.bool_)
        if self.box_xyxy is None:
            return None
        box = clip_box(self.box_xyxy, size_hw, "box of the example")
        x0, y0, x1, y1 = (round(v) for v in box)
        if x0 == x1 or y0 == y1:
            raise PromptError(f"the box of the example {box} holds no pixel; give a larger one")
        mask = np.zeros(size_hw, np.bool_)
        mask[y0:y1, x0:x1] = True
        return mask


@dataclass(frozen=True, eq=False)
class Like:
    """A prompt: things that look like the examples, or like examples and words together.

    name: in results; None takes the words', else the file's. words: "sofa|couch". weight: of the
    words in the mix, in [0, 1]; None: what the method takes.
    """

    examples: tuple[Example, ...]
    name: str | None = None
    words: str | None = None
    weight: float | None = None

    @classmethod
    def of(
        cls, *images: Any, box: Sequence[float] | None = None, mask: Any = None,
        name: str | None = None, words: str | None = None, weight: float | None = None,
    ) -> Like:  # fmt: skip
        """Return the prompt of pictures; a box (x0, y0, x1, y1) or a mask go with a single one."""
        if (box is not None or mask is not None) and len(images) != 1:
            raise PromptError("a box or a mask goes with one picture; use Example for several")
        made = tuple(
            image if isinstance(image, Example) else Example(image, _box(box), mask)
            for image in images
        )
        return cls(made, name, words, weight)

    def __post_init__(self) -> None:
        if not self.examples:
            raise PromptError("a prompt of examples has no picture; give at least one")
        if self.weight is not None and not 0 <= self.weight <= 1:
            raise PromptError(f"the words' weight is {self.weight}; give 0 to 1")

    @property
    def title(self) -> str:
        """The name in results."""
        if self.name or self.words:
            return self.name or str(self.words).partition("|")[0]
        image = self.examples[0].image
        if not isinstance(image, str | Path):
            return "like this"
        return f"like {os.fsencode(Path(image).name).decode('utf-8', 'replace')}"


def _box(given: Sequence[float] | None) -> tuple[float, float, float, float] | None:
    if given is None:
        return None
    return Clicks.parse(boxes=[given]).boxes_xyxy[0]
