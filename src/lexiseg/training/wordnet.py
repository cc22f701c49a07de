"""WordNet's nouns, read from the database files of WordNet 3 (Debian's package wordnet-base).

The files' format is described in WordNet's manual page wndb(5WN).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lexiseg.errors import InputError

__all__ = ["PHYSICAL_ENTITY", "Lemma", "Nouns", "Synset", "compounds"]

PHYSICAL_ENTITY = 1930
_FOLDERS = ("/usr/share/wordnet", "/usr/share/wordnet-3.0", "/usr/local/WordNet-3.0/dict")
_HYPERNYMS = ("@", "@i")
_INSTANCE_OF, _PART_OF = "@i", "#p"
_MAX_WORDS = 3  # of a lemma that is worth training on


@dataclass(frozen=True)
class Synset:
    """One meaning: its number (offset in data.noun), lemmas, hypernyms, field and gloss.

    wholes: the synsets that it is a part of. is_single: whether it names one thing, place, person.
    """

    number: int
    lemmas: tuple[str, ...]
    hypernyms: tuple[int, ...]
    field: int
    gloss: str
    wholes: tuple[int, ...] = ()
    is_single: bool = False


@dataclass(frozen=True)
class Lemma:
    """A noun in one sense: the most frequent one that is a thing, else the most frequent.

    tagged_senses: senses that occur in WordNet's tagged texts, above 0 for everyday words.
    """

    text: str
    synonyms: tuple[str, ...]
    sense: int
    tagged_senses: int
    is_thing: bool


class Nouns:
    """The nouns: ``synsets`` by number, ``senses`` of a word (lower case), most frequent first.

    folder: with index.noun and data.noun; by default where systems install them. Raises
    InputError where these are not found.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        folders = [Path(folder)] if folder else [Path(place) for place in _FOLDERS]
        found = next((f for f in folders if (f / "index.noun").is_file()), None)
        if found is None:
            raise InputError(
                f"WordNet's index.noun was not found in {', '.join(map(str, folders))}; install "
                "the Debian package wordnet-base, or name its folder with --set text.wordnet=FOLDER"
            )
        self.folder = found
        self.synsets = {one.number: one for one in _synsets(found / "data.noun")}
        self.senses: dict[str, tuple[int, ...]] = {}
        self._tagged_senses: dict[str, int] = {}
        for word, senses, tagged in _index(found / "index.noun"):
            self.senses[word], self._tagged_senses[word] = senses, tagged

    @cached_property
    def hyponyms(self) -> dict[int, list[int]]:
        """The synsets right below each synset."""
        out = defaultdict(list)
        for synset in self.synsets.values():
            for above in synset.hypernyms:
                out[above].append(synset.number)
        return dict(out)

    @cached_property
    def things(self) -> frozenset[int]:
        """The synsets of physical entities."""
        return self.below(PHYSICAL_ENTITY)

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
        return _closure(number, lambda one: self.synsets[one].hypernyms)

    def below(self, number: int) -> frozenset[int]:
        """Return the synset and all its hyponyms."""
        return _closure(number, lambda one: self.hyponyms.get(one, ()))

    def depths(self, number: int) -> dict[int, int]:
        """Return the smallest number of steps up to each hypernym, 0 for the synset itself."""
        steps, frontier = {number: 0}, [number]
        while frontier:
            frontier = [
                above
                for one in frontier
                for above in self.synsets[one].hypernyms
                if steps.setdefault(above, steps[one] + 1) == steps[one] + 1
            ]
        return steps

    def wholes(self, number: int) -> tuple[int, ...]:
        """Return the synsets that a synset is a part of, as WordNet says of it itself."""
        return self.synsets[number].wholes

    def is_single(self, number: int) -> bool:
        """Return whether a synset names one thing, place or person: an instance, not a kind."""
        return self.synsets[number].is_single

    def irregular_plurals(self) -> dict[str, list[str]]:
        """Return the plurals of each noun that the rules do not form."""
        out = defaultdict(list)
        for plural, single in self._exceptions.items():
            if single not in _singulars(plural):
                out[single.replace("_", " ")].append(plural.replace("_", " "))
        return dict(out)

    def other_lemmas(self) -> set[str]:
        """Return the adjectives and adverbs, where WordNet's files of them lie here."""
        files = [self.folder / f"index.{part}" for part in ("adj", "adv")]
        return {
            line.split(maxsplit=1)[0].replace("_", " ")
            for file in files
            if file.is_file()
            for line in _lines(file)
        }

    def lemmas(self) -> list[Lemma]:
        """Return the lemmas of at most three words, without digits, in alphabetical order.

        Proper names are left out: a lemma whose sense is written with a capital.
        """
        out = []
        for word, senses in self.senses.items():
            sense = next((one for one in senses if one in self.things), senses[0])
            members = self.synsets[sense].lemmas
            spelled = next((one for one in members if one.lower() == word), word)
            if spelled != word or len(word.split()) > _MAX_WORDS or re.search(r"\d", word):
                continue
            synonyms = tuple(one for one in members if one.lower() != word and one.islower())
            out.append(
                Lemma(word, synonyms, sense, self._tagged_senses[word], sense in self.things)
            )
        return out

    @cached_property
    def _exceptions(self) -> dict[str, str]:
        """Irregular plurals."""
        lines = (self.folder / "noun.exc").read_text("utf-8").splitlines()
        return {plural: single for plural, single, *_ in map(str.split, lines)}

    @cached_property
    def _tags(self) -> dict[str, int]:
        """Tag counts by noun: a line for each tagged sense, "word%1:..." for nouns."""
        counts: dict[str, int] = defaultdict(int)
        for line in (self.folder / "cntlist.rev").read_text("utf-8").splitlines():
            key, _, count = line.split()
            word, _, sense = key.partition("%")
            if sense.startswith("1:"):
                counts[word.replace("_", " ")] += int(count)
        return dict(counts)


def _closure(start: int, step: Callable[[int], Iterable[int]]) -> frozenset[int]:
    reached, stack = {start}, [start]
    while stack:
        for one in step(stack.pop()):
            if one not in reached:
                reached.add(one)
                stack.append(one)
    return frozenset(reached)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a database file without its licence, which stands indented on top."""
    return (line for line in path.read_text("utf-8").splitlines() if not line.startswith(" "))


def _synsets(path: Path) -> Iterator[Synset]:
    for line in _lines(path):
        head, _, gloss = line.partition("|")
        fields = head.split()
        count = int(fields[3], 16)
        lemmas = tuple(fields[4 + 2 * i].replace("_", " ") for i in range(count))
        pointers = fields[5 + 2 * count :]
        kinds = [pointers[i] for i in range(0, len(pointers), 4)]
        targets = [int(number) for number in pointers[1::4][: len(kinds)]]
        pairs = list(zip(kinds, targets, strict=True))
        yield Synset(
            number=int(fields[0]),
            lemmas=lemmas,
            hypernyms=tuple(target for kind, target in pairs if kind in _HYPERNYMS),
            field=int(fields[1]),
            gloss=gloss.strip(),
            wholes=tuple(target for kind, target in pairs if kind == _PART_OF),
            is_single=_INSTANCE_OF in kinds,
        )


def _index(path: Path) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Words with their synsets, most frequent first, and how many of these were tagged."""
    for line in _lines(path):
        fields = line.split()
        count, pointers = int(fields[2]), int(fields[3])
        senses = tuple(int(number) for number in fields[-count:])
        yield fields[0].replace("_", " "), senses, int(fields[5 + pointers])


def _singulars(word: str) -> Iterator[str]:
    # WordNet's own rules of detachment for nouns (morphy).
    for ending, single in [
        ("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
        ("men", "man"), ("ies", "y"),
    ]:  # fmt: skip
        if word.endswith(ending):
            yield word[: len(word) - len(ending)] + single


_CONCRETE = (5, 6, 8, 13, 20)  # fields: animal, artifact, body, food, plant
_ARTIFACT, _LIVING, _EVERYDAY = 6, (5, 20), 10


def compounds(nouns: Nouns) -> list[str]:
    """Return the compounds that the grammar of phrases would take apart, and must not.

    They begin with a word that it takes for an attribute, or hold one that it takes for a relation:
    "red wine", "little finger", "bow and arrow". Left out are proper names, artifacts that are what
    their last word says ("top hat" is a hat at the top, for all that one can see), and, food
    aside, what ends in an everyday noun: a black cat is a cat.
    """
    from lexiseg.prompts.phrases import word_lists as words

    first = {
        *words.COLOURS, *words.SIZES, *words.SUPERLATIVES, *words.POSITIONS, *words.EXTREMES,
        *words.ORDINALS, *words.NUMBERS,
    }  # fmt: skip
    inside = {text.split()[0] for text in words.RELATIONS} - {"of"} | {"and", "or", "from"}
    out = []
    for word, senses in nouns.senses.items():
        parts = word.split()
        begins = parts[0] in first or inside & set(parts[1:])
        if not 2 <= len(parts) <= 4 or not begins or {*parts} <= {*words.COLOURS, "and"}:
            continue
        meant = [nouns.synsets[one] for one in senses]
        sense = next((one for one in meant if one.field in _CONCRETE), None)
        if sense is None or word not in sense.lemmas:
            continue
        literal = any(parts[-1] in nouns.synsets[one].lemmas for one in sense.hypernyms)
        everyday = sense.field in _LIVING and nouns.tags(parts[-1]) >= _EVERYDAY
        if not (literal and sense.field == _ARTIFACT) and not everyday:
            out.append(word)
    return sorted(out)
