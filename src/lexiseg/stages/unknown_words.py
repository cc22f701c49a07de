"""Words of which an encoder knows no synonym."""

from __future__ import annotations

from dataclasses import replace

from lexiseg.prompts import Vocabulary
from lexiseg.protocols import VocabularyAware
from lexiseg.results import UnknownWord

__all__ = ["unknown_words"]


def unknown_words(encoder: object, vocabulary: Vocabulary) -> tuple[UnknownWord, ...]:
    """Return the asked words that the encoder does not know; each stands for its best synonym."""
    asked = [
        word
        for i, word in enumerate(vocabulary.words)
        if i != vocabulary.background_index and not word.examples  # a picture says what is meant
    ]
    phrases = [phrase for word in asked for phrase in word.synonyms]
    if not phrases or not isinstance(encoder, VocabularyAware):
        return ()
    far = {found.word: found for found in encoder.unknown(phrases)}
    return tuple(
        replace(max((far[p] for p in word.synonyms), key=lambda u: u.similarity), word=word.name)
        for word in asked
        if all(phrase in far for phrase in word.synonyms)
    )
