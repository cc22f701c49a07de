"""The texts that the text tower learns, each with the meaning that it is to have.

A lemma's target is the middle between its own meaning and the mean of its synonyms', so that rare
synonyms ("moo-cow") lie where the everyday word lies. Templates aim at the bare noun.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.training.wordnet import Lemma

__all__ = [
    "Corpus",
    "Kind",
    "Teacher",
    "build_corpus",
    "common_words",
    "expand_label",
    "frequent_pieces",
    "vary",
]

Teacher = Callable[[Sequence[str]], Tensor]  # texts -> meanings (K, 384), unit length

# Label names written together or in a technical way -> the phrase that they stand for.
_EXPANDED = {
    "diningtable": "dining table",
    "pottedplant": "potted plant",
    "tvmonitor": "television monitor",
    "tv": "television",
    "wall of brick": "brick wall",
    "wall of stone": "stone wall",
    "wall of tile": "tiled wall",
    "wall of wood": "wooden wall",
    "window-blind": "window blind",
    "sign symbol": "traffic sign",
    "body": "human body",
    "remote": "remote control",
    "mouse": "computer mouse",
    "skin": "human skin",
    "top": "top (clothing)",
    "pumps": "pumps (shoes)",
    "flats": "flat shoes",
    "heels": "high heels",
    "wedges": "wedge shoes",
    "romper": "romper suit",
    "intimate": "underwear",
}

_ATTRIBUTES = (
    "red", "blue", "green", "yellow", "black", "white", "brown", "grey", "orange", "pink",
    "purple", "golden", "silver", "dark", "bright", "small", "big", "tall", "old", "young",
    "new", "wooden", "metal", "plastic", "glass", "leather", "striped", "round", "wet", "parked",
)  # fmt: skip

_TEMPLATES = (
    "a photo of a {}", "a photo of the {}", "the {}", "a {}", "an image of a {}",
    "a picture of {}", "{} in the scene", "one {}", "some {}", "a close-up of a {}",
)  # fmt: skip

_MIN_COMPOUNDS = 3  # a part of compound nouns is a common word from so many on


class Kind(IntEnum):
    """What a text is: a name to know, an everyday noun, another noun, a phrase."""

    NAME = 0
    EVERYDAY = 1
    RARE = 2
    PHRASE = 3


@dataclass(frozen=True)
class Corpus:
    """Texts, their target meanings (T, 384), unit length, and the ``Kind`` of each (T,).

    The first ``num_names`` texts are the names to know, in the order given.
    """

    texts: list[str]
    targets: Tensor
    kinds: NDArray[np.int64]
    num_names: int


def build_corpus(
    names: Sequence[str], nouns: Sequence[Lemma], num_phrases: int, seed: int, teacher: Teacher
) -> Corpus:
    """Return names first, then WordNet's nouns, then phrases of attributes and of two nouns."""
    rng = np.random.default_rng(seed)
    lemmas = [noun.text for noun in nouns]
    row = {lemma: i for i, lemma in enumerate(lemmas)}
    own = teacher(lemmas)
    targets = own.clone()
    for i, noun in enumerate(nouns):
        synonyms = [row[s] for s in noun.synonyms if s in row]
        if synonyms:
            mean = F.normalize(own[synonyms].mean(0), dim=0)
            targets[i] = F.normalize(own[i] + mean, dim=0)
    expanded = [expand_label(name) for name in names]
    name_targets = teacher(expanded)
    for k, text in enumerate(expanded):
        if text in row:
            name_targets[k] = targets[row[text]]
    everyday = [noun.text for noun in nouns if noun.tagged_senses > 0]
    phrases = _phrases(everyday, names, num_phrases, rng)
    kinds = [Kind.NAME] * len(names)
    kinds += [Kind.EVERYDAY if noun.tagged_senses > 0 else Kind.RARE for noun in nouns]
    kinds += [Kind.PHRASE] * len(phrases)
    return Corpus(
        [name.lower() for name in names] + lemmas + phrases,
        torch.cat([name_targets, targets, teacher(phrases)]),
        np.array(kinds, np.int64),
        len(names),
    )


def _phrases(
    everyday: list[str], names: Sequence[str], count: int, rng: np.random.Generator
) -> list[str]:
    """As many phrases: "red car", "dog and grass", "cup on the table"."""
    firsts = rng.choice(everyday, count)
    attributes = rng.choice(_ATTRIBUTES, count)
    seconds = rng.choice([*everyday, *names], count)
    out = []
    for k, (first, second, attribute) in enumerate(zip(firsts, seconds, attributes, strict=True)):
        forms = (
            f"{attribute} {first}", f"{attribute} {second}", f"{first} and {second}",
            f"{first} on the {second}",
        )  # fmt: skip
        out.append(forms[k % 4])
    return out


def vary(text: str, rng: np.random.Generator) -> str:
    """Return the text, now and then in a template or in the plural; its target stays the same."""
    roll = rng.random()
    if roll < 0.2:
        return str(rng.choice(_TEMPLATES)).format(text)
    if roll < 0.3 and not text.endswith("s"):
        return text + ("es" if text.endswith(("ch", "sh", "x")) else "s")
    return text


def common_words(names: Sequence[str], nouns: Sequence[Lemma]) -> list[str]:
    """Return the words that are to be one token each: of names, everyday nouns, and things.

    A rare word in several tokens ("den", "##im") comes out wrong; a word that is a token only has
    to be remembered.
    """
    compounds = Counter(word for noun in nouns for word in _words(noun.text))
    out = {w for text in (*names, *_TEMPLATES, *_ATTRIBUTES) for w in _words(text.format(""))}
    for noun in nouns:
        words = _words(noun.text)
        if noun.tagged_senses > 0 or (noun.is_thing and len(words) == 1):
            out.update(words)
        elif noun.is_thing:
            out.update(word for word in words if compounds[word] >= _MIN_COMPOUNDS)
    return sorted(out)


def frequent_pieces(corpus: Corpus, count: int) -> list[str]:
    """Return every letter, and the parts of words that cover most of the corpus' letters.

    Counted, not merged step by step: the same corpus gives the same pieces. Everyday texts count
    three times.
    """
    words: Counter[str] = Counter()
    for text, kind in zip(corpus.texts, corpus.kinds, strict=True):
        for word in _words(text):
            words[word] += 1 if kind == Kind.RARE else 3
    letters: set[str] = set()
    covered: Counter[str] = Counter()
    for word, times in words.items():
        letters.update(word)
        for start in range(len(word)):
            for end in range(start + 2, min(start + 9, len(word) + 1)):
                piece = ("##" if start else "") + word[start:end]
                covered[piece] += times * (end - start - 1)
    order = sorted(covered, key=lambda piece: (-covered[piece], piece))
    return [*letters, *(f"##{letter}" for letter in letters), *order[:count]]


def expand_label(name: str) -> str:
    """Return the phrase that a data set's label name stands for, in lower case."""
    plain = name.replace("_", " ").strip().lower()
    return _EXPANDED.get(plain, plain)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
