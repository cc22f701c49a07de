"""Phrases: a noun, and what is meant of it ("the largest red car next to the tree"), read by rule.

``read_phrase`` reads English by a small grammar, without any model; ``Phrase`` is what it read.
"""

from __future__ import annotations

from lexiseg.prompts.phrases._nouns import WEARERS, compounds, is_plural, singular
from lexiseg.prompts.phrases._parser import read_phrase
from lexiseg.prompts.phrases._phrase import EVERYTHING, Attribute, Phrase, Relation
from lexiseg.prompts.phrases._reading import Dropped, PhraseReading
from lexiseg.prompts.phrases._vocabulary import PhraseVocabulary, noun_vocabulary, whole_vocabulary

__all__ = [
    "EVERYTHING", "WEARERS", "Attribute", "Dropped", "Phrase", "PhraseReading", "PhraseVocabulary",
    "Relation", "compounds", "is_plural", "noun_vocabulary", "read_phrase", "singular",
    "whole_vocabulary",
]  # fmt: skip
