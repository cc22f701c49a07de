"""The rules by which words are drawn for the rows: synonyms of classes, and words from far away.

Both exclude whatever the picture side was trained on, so they are drawn after training, by seed.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from benchmarks.machine import ROOT, Unmeasurable
from lexiseg.errors import InputError
from lexiseg.training.wordnet import Nouns

# Classes whose first physical sense in WordNet is another thing than the one in the photos: the
# entry and the place of the meant sense in it. Set by reading glosses, before any measurement.
SENSES = {
    "body": ("body", 4),
    "bracelet": ("bracelet", 1),
    "cape": ("cape", 1),
    "gloves": ("glove", 1),
    "jumper": ("jumper", 2),
    "light": ("light", 1),
    "loafers": ("loafer", 1),
    "mouse": ("mouse", 3),
    "net": ("net", 4),
    "pants": ("trouser", 0),
    "pavement": ("pavement", 2),
    "pumps": ("pump", 2),
    "ring": ("ring", 7),
    "romper": ("romper", 1),
    "sign": ("sign", 3),
    "table": ("table", 1),
    "toaster": ("toaster", 1),
    "top": ("top", 9),
    "tv": ("tv", 1),
    "wedges": ("wedge", 3),
}
# Fields of WordNet whose nouns name things that can be pointed at: animal, artifact, body, food,
# object, plant, substance.
CONCRETE = (5, 6, 8, 13, 17, 20, 27)


@dataclass(frozen=True)
class Trained:
    """What a model was trained on: words with masks, and all words (aliases, tags) with them."""

    known: tuple[str, ...]
    words: tuple[str, ...]


def trained(method: str) -> Trained:
    """Read what a bundled model says about itself."""
    path = ROOT / "src" / "lexiseg" / "models" / method / "weights" / "config.json"
    if not path.is_file():
        raise Unmeasurable(f"{path} is missing; it holds the words that the model was trained on")
    config = json.loads(path.read_text(encoding="utf-8"))
    known, words = config["known_words"], config["trained_words"]
    return Trained(_once(known), _once([*known, *words]))


@cache
def wordnet() -> Nouns:
    """Return WordNet's nouns, read once."""
    try:
        return Nouns()
    except InputError as error:
        raise Unmeasurable(str(error)) from error


def sense_of_class(nouns: Nouns, name: str) -> int | None:
    """Return the synset that a class name means, None for a name that WordNet does not have."""
    if name in SENSES:
        entry, place = SENSES[name]
        return nouns.find(entry)[place]
    return next((one for one in nouns.find(name) if one in nouns.things), None)


def synonyms(nouns: Nouns, name: str, excluded: Iterable[str]) -> list[str]:
    """Return the lemmas that stand for a class's meaning and were not trained on.

    A lemma of the class's synset counts when it is written in lower-case letters and spaces, when
    this synset is its own most frequent noun sense, when it is not the class name with another
    word (and not a part of it), and when neither it nor its singular is among `excluded`.
    """
    sense = sense_of_class(nouns, name)
    if sense is None:
        return []
    barred = {_letters(nouns.base(word)) for word in excluded}
    own = _letters(nouns.base(name))
    return [
        lemma
        for lemma in nouns.synsets[sense].lemmas
        if re.fullmatch("[a-z ]+", lemma)
        and nouns.find(lemma)[0] == sense
        and own not in _letters(lemma)
        and _letters(lemma) not in own
        and not {_letters(lemma), _letters(nouns.base(lemma))} & barred
    ]


def far_nouns(nouns: Nouns, words: Sequence[str]) -> list[str]:
    """Return the nouns for concrete things that are far from all of `words`, most tagged first.

    A noun counts when
    - it is one lower-case word of 4 to 10 letters that WordNet's corpus has at least once,
    - its most frequent sense lies in a concrete field, and names no single thing,
    - none of its physical senses is above or below a sense of one of `words`,
    - none of its physical senses has a parent or grandparent that is above such a sense,
    - the first part of its gloss mentions none of `words`.
    """
    barred = {nouns.base(word) for word in words}
    senses = {one for word in barred for one in nouns.find(word) if one in nouns.things}
    above = frozenset().union(*(nouns.above(one) for one in senses))
    below = frozenset().union(*(nouns.below(one) for one in senses))

    def near(sense: int) -> bool:
        if sense in above or sense in below:
            return True
        return any(step in (1, 2) and up in above for up, step in nouns.depths(sense).items())

    def counts(noun: str) -> bool:
        found = nouns.find(noun)
        first = nouns.synsets[found[0]]
        return (
            first.field in CONCRETE
            and noun in first.lemmas
            and nouns.tags(noun) > 0
            and noun not in barred
            and not any(near(one) for one in found if one in nouns.things)
            and not any(nouns.base(word) in barred for word in _words(first.gloss.split(";")[0]))
        )

    found = [noun for noun in nouns.senses if re.fullmatch("[a-z]{4,10}", noun) and counts(noun)]
    return sorted(found, key=lambda noun: (-nouns.tags(noun), noun))


def draw(choices: Sequence[str], count: int, seed: int) -> list[str]:
    """Return `count` of the choices (all, where there are fewer), drawn by seed, sorted."""
    return sorted(random.Random(seed).sample(sorted(choices), min(count, len(choices))))


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple({word.casefold(): word for word in words}.values())


def _words(text: str) -> Iterator[str]:
    return (hit[0] for hit in re.finditer("[a-z]+", text.casefold()))


def _letters(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())
