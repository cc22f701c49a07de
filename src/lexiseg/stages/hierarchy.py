"""Words that are finer than others - parts, kinds, what is worn - beside them, not against them.

All words compete in one softmax. What it gives to a finer word counts for the coarser one too;
what the coarser one has is then shared out within it, where it counts less than its finer words: a
face is a face although "person" scores better there. So each place has one finest word, and each
word that has finer ones a mask of its own that holds theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from lexiseg.prompts import Vocabulary
from lexiseg.prompts.lexicon import Relation, in_table, relations
from lexiseg.protocols import WordLevel, WordNeighbours

__all__ = ["FLAT", "Hierarchy", "word_hierarchy"]

# What a coarser word's own probability counts for against its finer words. Chosen on train photos.
_OWN = 0.08
_SAME_MEANING = 0.8  # the cosine from which a word without an entry takes its neighbour's


@dataclass(frozen=True)
class Hierarchy:
    """Which of C classes are finer than which; without relations all compete alike ("flat")."""

    relations: tuple[Relation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.relations)

    @cached_property
    def parents(self) -> dict[int, list[Relation]]:
        """The relations of each finer word."""
        out: dict[int, list[Relation]] = {}
        for one in self.relations:
            out.setdefault(one.finer, []).append(one)
        return out

    @cached_property
    def coarser(self) -> dict[int, frozenset[int]]:
        """All words that each finer word is in."""
        out: dict[int, frozenset[int]] = {}

        def above(word: int) -> frozenset[int]:
            if word not in out:
                direct = [one.coarser for one in self.parents.get(word, ())]
                out[word] = frozenset(direct).union(*(above(one) for one in direct))
            return out[word]

        for one in self.relations:
            above(one.finer)
        return {word: wholes for word, wholes in out.items() if wholes}

    @cached_property
    def heights(self) -> dict[int, int]:
        """The longest chain of finer words below each word that has any."""
        out: dict[int, int] = {}
        for _ in self.relations:  # longer than any chain
            for one in self.relations:
                out[one.coarser] = max(out.get(one.coarser, 0), out.get(one.finer, 0) + 1)
        return out

    def levels(self, probabilities: Tensor) -> list[WordLevel]:
        """Return the competitions, the finest first, of the flat softmax (C, ...).

        The finest holds every class and says what each place shows; a coarser one decides where the
        words of its height are, finer words included. At least one relation.
        """
        total, joins = self._join(probabilities)
        own = self._share_out(total, joins, probabilities)
        heights = self.heights
        finest = tuple(k for k in range(len(total)) if k not in heights)
        out = [WordLevel(finest, own)]
        for height in range(1, max(heights.values()) + 1):
            maps = own.clone()
            for word, its_height in heights.items():
                if its_height <= height:
                    maps[word] = total[word]
            for word, wholes in self.coarser.items():
                if any(heights[whole] <= height for whole in wholes):
                    maps[word] = 0
            decided = tuple(word for word, its in heights.items() if its == height)
            out.append(WordLevel(decided, maps))
        return out

    def _join(self, flat: Tensor) -> tuple[Tensor, dict[tuple[int, int], Tensor]]:
        """What each word has with its finer ones, (C, ...), and where these join which word.

        A finer word joins one coarser word at a place: the one that scores best there. A kind
        always does; a part, or what is worn, where nothing else scores better than the coarser word
        or what that is in: a hat on a table is no person.
        """
        total, joins = flat.clone(), {}
        rivals: dict[frozenset[int], Tensor] = {}  # of a family: what else scores best
        for word in sorted(self.parents, key=lambda one: self.heights.get(one, 0)):
            parents = self.parents[word]
            ids = [one.coarser for one in parents]
            best = flat[ids].argmax(0)
            family = self._family(word)
            if family not in rivals and not all(one.is_kind for one in parents):
                others = [k for k in range(len(flat)) if k not in family]
                rivals[family] = flat[others].amax(0) if others else torch.zeros_like(flat[0])
            for place, one in enumerate(parents):
                joined = best == place
                if not one.is_kind:
                    above = [one.coarser, *self.coarser.get(one.coarser, ())]
                    joined = joined & (flat[above].amax(0) >= rivals[family])
                joins[word, one.coarser] = joined
                total[one.coarser] = total[one.coarser] + total[word] * joined
        return total, joins

    def _share_out(
        self, total: Tensor, joins: dict[tuple[int, int], Tensor], flat: Tensor
    ) -> Tensor:
        """Share what each word has among itself and its finer ones; ``total`` follows, in place."""
        own, before = total.clone(), total.clone()
        for word in self.parents:
            mine = [joined for (finer, _), joined in joins.items() if finer == word]
            total[word] = before[word] * ~torch.stack(mine).any(0)
        for word in sorted(self.heights, key=lambda one: -self.heights[one]):
            finer = [one.finer for one in self.relations if one.coarser == word]
            parts = [before[one] * joins[one, word] for one in finer]
            weight = _OWN * flat[word]
            whole = (weight + sum(parts)).clamp_min(torch.finfo(flat.dtype).tiny)
            factor = total[word] / whole
            own[word] = weight * factor
            for one, part in zip(finer, parts, strict=True):
                total[one] = total[one] + part * factor
        for word in range(len(total)):
            if word not in self.heights:
                own[word] = total[word]
        return own

    def _family(self, word: int) -> frozenset[int]:
        """A word, all that it is in, and all that is in these."""
        above = self.coarser[word] | {word}
        below = {finer for finer, wholes in self.coarser.items() if wholes & above}
        return above | below


FLAT = Hierarchy()
_MAX_WORDS = 50  # of more, nearly all are related, and each takes a map of its own


def word_hierarchy(encoder: object, vocabulary: Vocabulary) -> Hierarchy:
    """Return how the asked words of a vocabulary are related; ``FLAT`` for a flat vocabulary, and
    for one of more than 50 words.

    Excluded words and the background compete with all. A word that the table of relations does not
    have stands with the known word that means the same to the encoder, if there is one.
    """
    if vocabulary.flat or not 2 <= len(vocabulary.words) <= _MAX_WORDS:
        return FLAT
    phrases: list[Sequence[str]] = [
        () if i == vocabulary.background_index else word.synonyms
        for i, word in enumerate(vocabulary.words)
    ]
    stand_ins = _stand_ins(encoder, phrases)
    return _hierarchy(tuple(map(tuple, phrases)), tuple(sorted(stand_ins.items())))


@lru_cache(maxsize=64)  # of many words it takes as long as an image
def _hierarchy(
    phrases: tuple[tuple[str, ...], ...], stand_ins: tuple[tuple[str, str], ...]
) -> Hierarchy:
    return Hierarchy(relations(phrases, dict(stand_ins)))


def _stand_ins(encoder: object, phrases: Sequence[Sequence[str]]) -> dict[str, str]:
    missing = [one for some in phrases for one in some if not in_table(one)]
    if not missing or not isinstance(encoder, WordNeighbours):
        return {}
    nearest = zip(missing, encoder.nearest_known(missing), strict=True)
    return {word: known for word, (known, cosine) in nearest if cosine >= _SAME_MEANING}
