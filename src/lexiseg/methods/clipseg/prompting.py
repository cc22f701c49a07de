"""Prompts as vectors: words, example pictures, and mixes of both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from lexiseg.methods.clipseg.config import Config
    from lexiseg.prompts import Vocabulary, Word
    from lexiseg.protocols import PromptedModel

__all__ = ["Prompts", "encode_prompts"]

_NO_MAP = "background"  # what is nothing in particular has no map: the cutoff stands for it


@dataclass(frozen=True, eq=False)
class Prompts:
    """vectors: (Q, C), and the class_id of each, (Q,); that of a background word is ``count``.

    count: of class_ids that are words, asked and excluded.
    """

    vectors: Tensor | None
    class_ids: tuple[int, ...]
    count: int


def encode_prompts(
    model: PromptedModel, vocabulary: Vocabulary, config: Config, silent: Collection[str] = ()
) -> Prompts:
    """Encode a vocabulary, but for the words named in ``silent``, which get no map."""
    import torch

    sentences = config.sentences(tuple(model.templates))
    words = [*vocabulary.words, *vocabulary.excluded]
    class_ids: list[int] = []
    vectors: list[Tensor] = []
    taken = {p.casefold() for i, w in enumerate(words) if i != vocabulary.background_index
             for p in w.synonyms}  # fmt: skip
    phrases: list[tuple[str, int]] = []
    for i, word in enumerate(words):
        if word.examples:
            class_ids.append(i)
            vectors.append(_mixed(model, word, sentences, config))
        elif i == vocabulary.background_index:
            phrases += [] if config.background_factor is None else [(_NO_MAP, i)]
        elif word.name not in silent:
            phrases += [(phrase, i) for phrase in word.synonyms]
    phrases += [
        (phrase, len(words))
        for phrase in vocabulary.background or ()
        if phrase.casefold() not in taken and phrase.casefold() != _NO_MAP
    ]
    if phrases:
        made = _words(model, [phrase for phrase, _ in phrases], sentences)
        vectors += list(made)
        class_ids += [class_id for _, class_id in phrases]
    return Prompts(torch.stack(vectors) if vectors else None, tuple(class_ids), len(words))


def _words(model: PromptedModel, phrases: list[str], sentences: tuple[str, ...]) -> Tensor:
    """The mean over the sentences around each phrase, (K, C)."""
    made = model.words([s.format(p) for p in phrases for s in sentences])
    out: Tensor = made.view(len(phrases), len(sentences), -1).mean(1)
    return out


def _mixed(model: PromptedModel, word: Word, sentences: tuple[str, ...], config: Config) -> Tensor:
    """The mean of a word's example pictures, and with words the weighted mean of both, (C,).

    Vectors are mixed as they are, as in the paper's training: CLIP's are not normalised.
    """
    from lexiseg.stages.clipseg_prompts import example_pixels

    ways = tuple(model.example) if config.prepare is None else config.prepare
    visual = model.examples([example_pixels(e, ways) for e in word.examples])
    if not word.synonyms:
        return visual
    weight = config.mix if word.weight is None else word.weight
    text = _words(model, list(word.synonyms), sentences).mean(0)
    return weight * text + (1 - weight) * visual
