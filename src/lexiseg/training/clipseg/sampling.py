"""What a step is trained on: photos, prompts and crops, by its number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import InputError
from lexiseg.training.clipseg.phrases import LabelledPhoto, PhraseSet
from lexiseg.training.clipseg.recipe import ClipSegRecipe

__all__ = ["Prompt", "PromptSampler", "cut_square", "find_square"]

_TRIES = 50  # for a crop that keeps its object


@dataclass(frozen=True)
class Prompt:
    """One prompt for a photo, both numbered over all sets.

    present: whether the photo shows the phrase. sentence: the phrase in a template. examples:
    photos that show it, as example pictures. text_weight: of the words, 1 without examples.
    """

    photo: int
    phrase: str
    present: bool
    sentence: str
    examples: tuple[int, ...]
    text_weight: float


class PromptSampler:
    """Draws prompts on the photos of several sets, numbered one after the other."""

    def __init__(self, sets: Sequence[PhraseSet], recipe: ClipSegRecipe) -> None:
        self.recipe = recipe
        self.photos: tuple[LabelledPhoto, ...] = tuple(p for one in sets for p in one.photos)
        if not self.photos:
            raise InputError("there is no photo with a phrase to train on; give data")
        self._set_of = [one for one in sets for _ in one.photos]
        self._first: dict[str, int] = {}
        start = 0
        for one in sets:
            self._first[one.name] = start
            start += len(one.photos)
        rarest = [
            min(len(one.by_phrase[p]) for p in photo.phrases)
            for one in sets
            for photo in one.photos
        ]
        weights = np.array(rarest, np.float64) ** -recipe.rarity
        self._weights = weights / weights.sum()

    def sample(self, step: int) -> list[list[Prompt]]:
        """Return the prompts of the step's photos, a list a photo."""
        rng = np.random.default_rng((self.recipe.seed, step))
        chosen = rng.choice(len(self.photos), self.recipe.batch, p=self._weights)
        return [self._prompts(int(i), rng) for i in chosen]

    def _prompts(self, photo: int, rng: np.random.Generator) -> list[Prompt]:
        recipe, phrases = self.recipe, self.photos[photo].phrases
        order = rng.permutation(len(phrases))
        out = []
        for number in range(recipe.prompts):
            phrase, present = phrases[order[number % len(order)]], True
            if rng.random() < recipe.negative_share:
                others = self._set_of[photo].phrases
                other = others[int(rng.integers(len(others)))]
                # A phrase that the photo shows too is no negative.
                if other not in phrases:
                    phrase, present = other, False
            out.append(self._prompt(photo, phrase, present, rng))
        return out

    def _prompt(self, photo: int, phrase: str, present: bool, rng: np.random.Generator) -> Prompt:
        recipe, own = self.recipe, self._set_of[photo]
        template = recipe.templates[int(rng.integers(len(recipe.templates)))]
        first = self._first[own.name]
        others = [first + i for i in own.by_phrase[phrase] if first + i != photo]
        examples: tuple[int, ...] = ()
        weight = 1.0
        if others and rng.random() < recipe.visual_share:
            count = min(len(others), int(rng.integers(1, recipe.max_examples + 1)))
            examples = tuple(int(i) for i in rng.choice(others, count, replace=False))
            weight = float(rng.uniform(recipe.mix_low, recipe.mix_high))
        return Prompt(photo, phrase, present, template.format(phrase), examples, weight)


def find_square(
    mask: NDArray[np.bool_], side: int, min_share: float, rng: np.random.Generator
) -> tuple[int, int]:
    """Return top and left of a square of ``side`` pixels that keeps an object, as CLIPSeg's
    authors cut it: of 50 random ones the first with more than ``min_share`` of the picture's
    pixels in the mask, else the best."""
    height, width = mask.shape
    # Sums over any square are four look-ups.
    sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best, place = -1, (0, 0)
    for _ in range(_TRIES):
        y = int(rng.integers(0, height - side + 1))
        x = int(rng.integers(0, width - side + 1))
        inside = sums[y + side, x + side] - sums[y, x + side] - sums[y + side, x] + sums[y, x]
        if inside > min_share * mask.size:
            return y, x
        if inside > best:
            best, place = int(inside), (y, x)
    return place


def cut_square(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], place: tuple[int, int], side: int, wanted: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Cut a square and scale it to ``wanted`` pixels a side: the mask by its nearest pixels."""
    y, x = place
    way = cv2.INTER_AREA if side > wanted else cv2.INTER_LINEAR
    picture = cv2.resize(rgb[y : y + side, x : x + side], (wanted, wanted), interpolation=way)
    part = mask[y : y + side, x : x + side].astype(np.uint8)
    scaled = cv2.resize(part, (wanted, wanted), interpolation=cv2.INTER_NEAREST)
    return np.asarray(picture, np.uint8), scaled.astype(np.bool_)
