"""Which photos, phrases and examples a step sees: its number alone decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lexiseg.errors import InputError
from lexiseg.training.clipseg.phrases import PhraseSet, Shot
from lexiseg.training.clipseg.recipe import ClipSegRecipe

__all__ = ["Asked", "Drawer"]


@dataclass(frozen=True)
class Asked:
    """One prompt. shot: the photo. phrase: what is asked. there: whether the photo shows it.

    examples: photos that show the phrase. weight: of the words, 1 without examples.
    """

    shot: int
    phrase: str
    there: bool
    sentence: str
    examples: tuple[int, ...]
    weight: float


class Drawer:
    """Draws prompts on the photos of several sets, numbered one after the other."""

    def __init__(self, sets: Sequence[PhraseSet], recipe: ClipSegRecipe) -> None:
        self.recipe = recipe
        self.shots: tuple[Shot, ...] = tuple(s for one in sets for s in one.shots)
        if not self.shots:
            raise InputError("there is no photo with a phrase to train on; give data")
        self._set_of = [one for one in sets for _ in one.shots]
        self._first: dict[str, int] = {}
        start = 0
        for one in sets:
            self._first[one.name] = start
            start += len(one.shots)
        rarest = [min(len(one.by_phrase[p]) for p in s.phrases) for one in sets for s in one.shots]
        weight = np.array(rarest, np.float64) ** -recipe.rarity
        self._chance = weight / weight.sum()

    def draw(self, step: int) -> list[list[Asked]]:
        """Return the step's photos, each with its prompts."""
        rng = np.random.default_rng((self.recipe.seed, step))
        chosen = rng.choice(len(self.shots), self.recipe.batch, p=self._chance)
        return [self._prompts(int(i), rng) for i in chosen]

    def _prompts(self, shot: int, rng: np.random.Generator) -> list[Asked]:
        recipe, phrases = self.recipe, self.shots[shot].phrases
        order = rng.permutation(len(phrases))
        out = []
        for number in range(recipe.prompts):
            phrase, there = phrases[order[number % len(order)]], True
            if rng.random() < recipe.negatives:
                others = self._set_of[shot].phrases
                other = others[int(rng.integers(len(others)))]
                # A phrase that the photo shows too is no negative.
                if other not in phrases:
                    phrase, there = other, False
            out.append(self._asked(shot, phrase, there, rng))
        return out

    def _asked(self, shot: int, phrase: str, there: bool, rng: np.random.Generator) -> Asked:
        recipe, own = self.recipe, self._set_of[shot]
        template = recipe.templates[int(rng.integers(len(recipe.templates)))]
        first = self._first[own.name]
        others = [first + i for i in own.by_phrase[phrase] if first + i != shot]
        examples: tuple[int, ...] = ()
        weight = 1.0
        if others and rng.random() < recipe.visual:
            count = min(len(others), int(rng.integers(1, recipe.examples + 1)))
            examples = tuple(int(i) for i in rng.choice(others, count, replace=False))
            weight = float(rng.uniform(recipe.mix_low, recipe.mix_high))
        return Asked(shot, phrase, there, template.format(phrase), examples, weight)
