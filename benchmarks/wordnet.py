"""WordNet's nouns, read from the files of Debian's package wordnet-base.

Only what the rows need: senses of a word by frequency, lemmas, hypernyms, and how often a sense
was tagged in WordNet's own corpus.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from benchmarks.machine import Unmeasurable

FOLDER = Path("/usr/share/wordnet")
PHYSICAL_ENTITY = 1930
_HYPERNYMS = ("@", "@i")


@dataclass(frozen=True)
class Synset:
    """One meaning: its number (offset in data.noun), lemmas, hypernyms, field and gloss."""

    number: int
    lemmas: tuple[str, ...]
    parents: tuple[int, ...]
    field: int
    gloss: str


class Nouns:
    """The nouns: `synsets` by number, `senses` of a word (casefolded), most frequent first."""

    def __init__(self, folder: Path = FOLDER) -> None:
        if not (folder / "data.noun").is_file():
            raise Unmeasurable(f"{folder} holds no data.noun; apt-get install wordnet-base")
        self.synsets = {one.number: one for one in _synsets(folder / "data.noun")}
        self.senses = dict(_senses(folder / "index.noun"))
        self._exceptions = dict(
            line.split()[:2] for line in (folder / "noun.exc").read_text().splitlines()
        )
        self._tags = dict(_tags(folder / "cntlist.rev"))

    @cached_property
    def children(self) -> dict[int, list[int]]:
        """The hyponyms of each synset."""
        found = defaultdict(list)
        for synset in self.synsets.values():
            for parent in synset.parents:
                found[parent].append(synset.number)
        return dict(found)

    def base(self, word: str) -> str:
        """Return the word as a WordNet entry: casefolded, and singular where the plural is none."""
        word = " ".join(word.casefold().replace("_", " ").split())
        if word in self.senses:
            return word
        head, _, last = word.rpartition(" ")
        for single in (self._exceptions.get(last), *_singulars(last)):
            entry = f"{head} {single}".strip()
            if single and entry in self.senses:
                return entry
        return word

    def find(self, word: str) -> tuple[int, ...]:
        """Return the word's synsets, most frequent first, none for an unknown word."""
        return self.senses.get(self.base(word), ())

    def tags(self, word: str) -> int:
        """Return how often the word was tagged, as a noun, in any of its senses."""
        return self._tags.get(self.base(word), 0)

    def above(self, number: int) -> frozenset[int]:
        """Return the synset and all its hypernyms, to the top."""
        return _closure(number, lambda one: self.synsets[one].parents)

    def below(self, number: int) -> frozenset[int]:
        """Return the synset and all its hyponyms."""
        return _closure(number, lambda one: self.children.get(one, ()))

    def depths(self, number: int) -> dict[int, int]:
        """Return the least number of steps up to each hypernym, 0 for the synset itself."""
        steps, frontier = {number: 0}, [number]
        while frontier:
            frontier = [
                parent
                for one in frontier
                for parent in self.synsets[one].parents
                if steps.setdefault(parent, steps[one] + 1) == steps[one] + 1
            ]
        return steps


@cache
def nouns(folder: Path = FOLDER) -> Nouns:
    """Return the nouns, read once."""
    return Nouns(folder)


def _closure(start: int, step: Callable[[int], Iterable[int]]) -> frozenset[int]:
    seen, stack = {start}, [start]
    while stack:
        for one in step(stack.pop()):
            if one not in seen:
                seen.add(one)
                stack.append(one)
    return frozenset(seen)


def _synsets(path: Path) -> Iterator[Synset]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        head, _, gloss = line.partition("|")
        fields = head.split()
        count = int(fields[3], 16)
        lemmas = tuple(fields[4 + 2 * i].replace("_", " ") for i in range(count))
        pointers = fields[5 + 2 * count :]
        parents = tuple(
            int(pointers[i + 1]) for i in range(0, len(pointers), 4) if pointers[i] in _HYPERNYMS
        )
        yield Synset(int(fields[0]), lemmas, parents, int(fields[1]), gloss.strip())


def _senses(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue
        fields = line.split()
        count = int(fields[2])
        yield fields[0].replace("_", " "), tuple(int(number) for number in fields[-count:])


def _tags(path: Path) -> dict[str, int]:
    """Return tag counts by noun: the file has a line for each tagged sense, "word%1:..." a noun."""
    counts: dict[str, int] = defaultdict(int)
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, count = line.split()
        word, _, sense = key.partition("%")
        if sense.startswith("1:"):
            counts[word.replace("_", " ")] += int(count)
    return counts


def _singulars(word: str) -> Iterator[str]:
    # WordNet's own rules of detachment for nouns (morphy).
    for ending, single in [
        ("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
        ("men", "man"), ("ies", "y"),
    ]:  # fmt: skip
        if re.search(f"{ending}$", word):
            yield word[: len(word) - len(ending)] + single
