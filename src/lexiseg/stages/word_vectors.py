"""A vocabulary as vectors in an encoder's space, and the probabilities of its classes.

All words compete in one softmax. Some are finer than others - parts, kinds, what is worn - and do
not stand against them: what the softmax gives to a finer word counts for the coarser one too; what
the coarser one has is then shared out within it, where it counts less than its finer words: a face
is a face although "person" scores better there. So each place has one finest word, and each word
that has finer ones a mask of its own that holds theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.imaging import pad_to_multiple, resize_image, working_size
from lexiseg.prompts import Example, Vocabulary
from lexiseg.prompts.lexicon import Relation, in_table, relations
from lexiseg.protocols import (
    AttentionEncoder,
    Encoder,
    VocabularyAware,
    WordLevel,
    WordNeighbours,
)
from lexiseg.results import UnknownWord
from lexiseg.stages.clipseg_prompts import WAYS, example_pixels

__all__ = [
    "FLAT", "Hierarchy", "WordVectors", "class_probabilities", "unknown_words", "word_hierarchy",
    "word_vectors",
]  # fmt: skip


# What a coarser word's own probability counts for against its finer words. Chosen on train photos.
_OWN = 0.08
_SAME_MEANING = 0.8  # the cosine from which a word without an entry takes its neighbour's
_MAX_WORDS = 50  # of more, nearly all are related, and each takes a map of its own


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


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of all queries: a class has one for each of its synonyms.

    vectors: (Q, D), unit length. class_ids: (Q,) int64, the class of each. num_classes: C of the
    vocabulary; some may have no query. background: the class of the background words, or None.
    hierarchy: which classes are parts or kinds of others, and do not compete with them.
    """

    vectors: Tensor
    class_ids: Tensor
    num_classes: int
    background: int | None
    hierarchy: Hierarchy = FLAT


def word_vectors(
    encoder: Encoder,
    vocabulary: Vocabulary,
    templates: Sequence[str],
    silent: Collection[str] = (),
) -> WordVectors:
    """Encode a vocabulary, but for the words named in ``silent``, which get no probability.

    A background word that means the same as an asked or excluded one steps back, as long as
    another background word is left.
    """
    names, background = vocabulary.names, vocabulary.background_class
    vectors, class_ids = _example_vectors(encoder, vocabulary, templates)
    with_examples = set(class_ids)
    queries = [
        query
        for query in vocabulary.queries()
        if query.class_id not in with_examples
        and (query.class_id >= len(names) or names[query.class_id] not in silent)
    ]
    if queries:
        vectors.append(encoder.text([query.text for query in queries], templates))
        class_ids += [query.class_id for query in queries]
    made = torch.cat(vectors)
    if background is not None:
        is_background = np.array(class_ids) == background
        kept = _without_asked(made, is_background, encoder.synonym_threshold)
        made = made[torch.from_numpy(kept).to(made.device)]
        class_ids = [class_ids[row] for row in kept]
    return WordVectors(
        made,
        torch.tensor(class_ids, device=made.device),
        vocabulary.num_classes,
        background,
        word_hierarchy(encoder, vocabulary),
    )


def class_probabilities(cosines: Tensor, words: WordVectors, scale: float) -> Tensor:
    """Return the probability of each class, (C, ...) float32, summing to 1, of (Q, ...) cosines.

    A word's logit is that of its best synonym; the background's is the log-sum of its words'
    exponentials, so that its probability is the sum of theirs. A class without query has 0.
    """
    logits = scale * cosines.float()
    out = logits.new_full((words.num_classes, *logits.shape[1:]), -torch.inf)
    classes = words.class_ids.to(logits.device)
    shape = (-1, *[1] * (logits.ndim - 1))
    out.scatter_reduce_(0, classes.view(shape).expand_as(logits), logits, "amax")
    if words.background is not None:
        others = (classes != words.background).view(shape)
        out[words.background] = logits.masked_fill(others, -torch.inf).logsumexp(0)
    return out.softmax(0)


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


def unknown_words(encoder: object, vocabulary: Vocabulary) -> tuple[UnknownWord, ...]:
    """Return the words that the encoder does not know; each stands for its best synonym."""
    asked = [
        word
        for i, word in enumerate(vocabulary.words)
        if i != vocabulary.background_index and not word.examples  # a picture says what is meant
    ]
    phrases = [phrase for word in asked for phrase in word.synonyms]
    if not phrases or not isinstance(encoder, VocabularyAware):
        return ()
    unknown = {one.word: one for one in encoder.unknown(phrases)}
    return tuple(
        replace(max((unknown[p] for p in word.synonyms), key=_similarity), word=word.name)
        for word in asked
        if all(phrase in unknown for phrase in word.synonyms)
    )


def _similarity(unknown: UnknownWord) -> float:
    return unknown.similarity


def _without_asked(
    vectors: Tensor, is_background: NDArray[np.bool_], threshold: float
) -> NDArray[np.int64]:
    """Rows of the vectors, without background words as near to an asked word as a synonym.

    All background words stay where none would be left.
    """
    everything, asked = np.arange(len(vectors)), np.flatnonzero(~is_background)
    if len(asked) in (0, len(vectors)):
        return everything
    cosines = vectors @ vectors[torch.from_numpy(asked).to(vectors.device)].T
    nearest = cosines.amax(1).cpu().numpy()
    kept = ~(is_background & (nearest >= threshold))
    return np.flatnonzero(kept) if (kept & is_background).any() else everything


def _example_vectors(
    encoder: Encoder, vocabulary: Vocabulary, templates: Sequence[str]
) -> tuple[list[Tensor], list[int]]:
    """The vectors (1, D) of words that have example images, and their classes.

    A vector is the mean of the examples', mixed with the text's where there are words too.
    """
    vectors, class_ids = [], []
    for class_id, word in enumerate(vocabulary.words):
        if not word.examples:
            continue
        pooled = torch.cat([_pool_example(encoder, example) for example in word.examples])
        vector = F.normalize(pooled.mean(0, keepdim=True), dim=-1)
        if word.synonyms:
            weight = 0.5 if word.weight is None else word.weight
            text = encoder.text(list(word.synonyms), templates).mean(0, keepdim=True)
            vector = weight * F.normalize(text, dim=-1) + (1 - weight) * vector
        vectors.append(F.normalize(vector, dim=-1))
        class_ids.append(class_id)
    return vectors, class_ids


def _pool_example(encoder: Encoder, example: Example) -> Tensor:
    """The vector of an example image, (1, D): what is meant of it is pooled.

    CLIP is given it cropped, its background blurred and darkened.
    """
    size = encoder.size
    ways = WAYS if isinstance(encoder, AttentionEncoder) else ()
    rgb, mask = example_pixels(example, ways)
    if ways:
        pixels = torch.from_numpy(resize_image(rgb, (size.window, size.window)))[None]
        return encoder.pooled(pixels)
    height, width = working_size((rgb.shape[0], rgb.shape[1]), size.short_side)
    padded = pad_to_multiple(resize_image(rgb, (height, width)), size.multiple)
    marked = np.zeros(padded.shape[:2], np.uint8)
    marked[:height, :width] = resize_image(mask.astype(np.uint8) * 255, (height, width))
    inside = marked >= min(128, int(marked.max()))  # a speck stays where it is brightest
    return encoder.pooled(torch.from_numpy(padded)[None], torch.from_numpy(inside)[None])
