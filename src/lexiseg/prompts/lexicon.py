"""What a dictionary says of words: parts and kinds of others, names that are none.

Finer words are kinds of others (poodle - dog), parts (wheel - car), or worn by them (hat - person).
The table of relations is made of WordNet's hypernyms and meronyms by
``lexiseg.training.word_tables``; a line is a meaning: its names, what it is a kind of, and the
wholes that it is a part of or worn by. The dictionary is two sets of 28-bit hashes (of nouns that
name a kind of thing, and of nouns, adjectives and adverbs), sorted, their differences packed:
0.05 % of other words pass for one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NOUNS", "WORDS", "Relation", "general_terms", "group_synonyms", "hash_words", "in_table",
    "is_name", "is_uncountable", "meaning", "pack_hashes", "relations", "singulars",
    "unpack_hashes",
]  # fmt: skip

# Before these words stands what a phrase is of: "wall of brick", "person with a hat".
_HEAD_ENDS = re.compile(r"\s(?:of|with|without|in|on|under|at|near|behind|wearing|holding)\s")

# Wholes whose kinds have their parts: a sports car has wheels. Others pass parts on to their own
# kinds alone.
_PASS_ON = frozenset(
    {"person", "animal", "vertebrate", "mammal", "bird", "fish", "insect", "vehicle", "tree",
     "wheeled vehicle", "motor vehicle", "aircraft", "airplane", "ship", "boat", "building", "car",
     "body", "head", "garment"}
)  # fmt: skip
# What has no number: these words, and all that is a kind of them.
_UNCOUNTABLE = frozenset(
    {"background", "beach", "body covering", "body of water", "ceiling", "cloud", "fence", "floor",
     "foliage", "geographical area", "grass", "hair", "land", "mountain", "path", "pavement",
     "railroad track", "rice", "road", "sea", "skin", "sky", "soil", "solid ground", "vegetation",
     "wall", "water", "weather"}
)  # fmt: skip
_STEPS = 2  # up the kinds of a part, whose wholes are its own too


@dataclass(frozen=True)
class Relation:
    """Word ``finer`` is a kind of word ``coarser`` (``is_kind``), or a part of it, or worn by it.

    Words are numbered as given.
    """

    finer: int
    coarser: int
    is_kind: bool


@dataclass(frozen=True)
class _Entry:
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    wholes: tuple[str, ...]


def relations(
    words: Sequence[Sequence[str]], stand_ins: Mapping[str, str] | None = None
) -> tuple[Relation, ...]:
    """Return the relations between words, each given by its phrases; direct ones alone.

    A phrase without an entry is a kind of its head noun ("red car" of "car"), else what
    ``stand_ins`` names for it. Of a chain eye - face - person, eye - person is left out. Words that
    mean the same, and those that are finer than each other, have no relation.
    """
    nodes = [[node for phrase in some if (node := _node(phrase, stand_ins))] for some in words]
    found: dict[tuple[int, int], bool] = {}
    for i, mine in enumerate(nodes):
        for j, theirs in enumerate(nodes):
            if i != j:
                hits = {_compare(one, other) for one in mine for other in theirs} - {None}
                if hits:
                    found[i, j] = True in hits
    found = {pair: kind for pair, kind in found.items() if pair[::-1] not in found}
    return tuple(
        Relation(i, j, kind)
        for (i, j), kind in sorted(found.items())
        if not any((i, k) in found and (k, j) in found for k in range(len(words)))
    )


def general_terms(phrase: str) -> list[str]:
    """Return what a phrase is a kind of: itself, its head noun, and what is above that."""
    out = [" ".join(phrase.casefold().split())]
    node = _node(phrase, None)
    if node is None:
        return out
    _, entries = _table()
    level = [node[0]]
    while level:
        out += [name for one in level for name in entries[one].names]
        level = [kind for one in level for kind in entries[one].kinds if kind not in out]
    return list(dict.fromkeys(out))


def is_uncountable(phrase: str) -> bool:
    """Return whether a phrase names what has no number: sky, water, a kind of ground."""
    return not _UNCOUNTABLE.isdisjoint(general_terms(phrase))


def group_synonyms(words: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the words in groups that mean the same, or are spelled the same without spaces.

    Groups stand in the order of their first words. The last word of a group leads it: in lists that
    were joined, later ones spell in common English ("sofa", then "couch").
    """
    groups: dict[str, list[str]] = {}
    for word in words:
        letters = "".join(c for c in word.casefold() if c.isalnum())
        node = _node(word, None)
        key = letters if node is None or node[1] else f"={node[0]}"
        if key not in groups and letters in groups:
            key = letters
        groups.setdefault(key, []).append(word)
        groups.setdefault(letters, groups[key])
    once = {id(group): group for group in groups.values()}
    return [tuple(dict.fromkeys(group[::-1])) for group in once.values()]


@lru_cache(maxsize=20_000)
def meaning(phrase: str) -> str | None:
    """Return the first name of what a phrase means: the same for synonyms, and in either number.

    None where the table does not have it, or has only its head noun.
    """
    node = _node(phrase, None)
    return None if node is None or node[1] else node[0]


@lru_cache(maxsize=20_000)
def in_table(phrase: str) -> bool:
    """Return whether a phrase, or its head noun, has an entry."""
    return _node(phrase, None) is not None


def _node(phrase: str, stand_ins: Mapping[str, str] | None) -> tuple[str, str] | None:
    """The entry of a phrase, and the phrase where it says more than the entry ("red car")."""
    text = _HEAD_ENDS.split(" ".join(phrase.casefold().split()))[0]
    names, _ = _table()
    tokens = text.split()
    for start in range(len(tokens)):
        part = " ".join(tokens[start:])
        entry = next((names[one] for one in singulars(part) if one in names), None)
        if entry is not None:
            more = phrase.casefold() if start or text != phrase.casefold() else ""
            return entry, more
    stand_in = None if stand_ins is None else stand_ins.get(phrase)
    return None if stand_in is None else _node(stand_in, None)


def _compare(one: tuple[str, str], other: tuple[str, str]) -> bool | None:
    """True: one is a kind of the other. False: a part of it, or worn by it. None: neither."""
    (entry, more), (coarser, coarser_more) = one, other
    if coarser_more:  # "left eye" is no kind of "red eye"
        return None
    if entry == coarser:
        return True if more else None
    if coarser in _kinds(entry):
        return True
    wholes = _wholes(entry)
    if coarser in wholes or wholes & _passing(coarser):
        return False
    return None


@cache
def _kinds(entry: str) -> frozenset[str]:
    """All that an entry is a kind of, itself aside."""
    _, entries = _table()
    return _closure(entries[entry].kinds, lambda one: entries[one].kinds) - {entry}


@cache
def _wholes(entry: str) -> frozenset[str]:
    """All that an entry is a part of: its own wholes, those of what it is, and theirs in turn."""
    _, entries = _table()
    own, level = set(entries[entry].wholes), set(entries[entry].kinds)
    for _ in range(_STEPS):
        own |= {whole for kind in level for whole in entries[kind].wholes}
        level = {above for kind in level for above in entries[kind].kinds}
    return _closure(own, lambda one: entries[one].wholes) - _kinds(entry) - {entry}


@cache
def _passing(entry: str) -> frozenset[str]:
    """What an entry is a kind of and has the parts of."""
    names, entries = _table()
    passing = {names[name] for name in _PASS_ON if name in names}
    return (_kinds(entry) & passing) | set(entries[entry].kinds)


def _closure(start: Collection[str], step: object) -> frozenset[str]:
    reached, stack = set(start), list(start)
    while stack:
        for one in step(stack.pop()):  # type: ignore[operator]
            if one not in reached:
                reached.add(one)
                stack.append(one)
    return frozenset(reached)


@cache
def _table() -> tuple[dict[str, str], dict[str, _Entry]]:
    """The entry of each name, and the entries, named by their first names."""
    text = (files("lexiseg.prompts") / "tables" / "relations.txt").read_text("utf-8")
    names: dict[str, str] = {}
    entries: dict[str, _Entry] = {}
    for line in text.splitlines():
        spelled, kinds, wholes, *_ = *line.split("\t"), "", ""
        own = spelled.split("|")
        names.update(dict.fromkeys(own, own[0]))
        entries[own[0]] = _Entry(tuple(own), _split(kinds), _split(wholes))
    return names, entries


def _split(column: str) -> tuple[str, ...]:
    return tuple(column.split("|")) if column else ()


NOUNS, WORDS = "nouns.bin", "words.bin"
_BITS = 28
_TOKEN = re.compile(r"[^\W\d_](?:[^\W_]|['’.&-](?=\w))*")
# Words between capitalised ones that are no part of a name, and say nothing.
_PLAIN = frozenset(
    {"a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "over", "the", "to",
     "under", "with", "without", "not"}
)  # fmt: skip


def is_name(phrase: str) -> bool:
    """Return whether a phrase is, or holds, a name that no dictionary has: "LeBron James", "Nike".

    Capitals mark names, but for those of sentences, titles and German nouns: a capitalised word
    that a dictionary holds is that word, so "Dog", "DOG" and "German Shepherd" are none. A phrase
    whose last word is capitalised must end in a noun that names a kind of thing ("Tom Cruise" does
    not). A word in lower case is never a name.
    """
    tokens = _TOKEN.findall(phrase)
    if not any(token[0].isupper() or token[1:] != token[1:].lower() for token in tokens):
        return False
    if _holds(NOUNS, phrase):
        return False
    capitals = [t for t in tokens if t != t.lower() and t.casefold() not in _PLAIN]
    if not all(_holds(WORDS, token) for token in capitals):
        return True
    last = tokens[-1]
    return last in capitals and not _holds(NOUNS, last)


def singulars(word: str) -> list[str]:
    """Return a word in lower case, and what may be its singular: "boxes", "box", "boxe"."""
    word = " ".join(word.casefold().replace("_", " ").split())
    out = [word]
    for ending, single in (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("men", "man"),
                           ("es", ""), ("s", "")):  # fmt: skip
        if word.endswith(ending) and len(word) > len(ending) + 1:
            out.append(word[: len(word) - len(ending)] + single)
    return out


def hash_words(words: Iterable[str]) -> NDArray[np.uint32]:
    """Return the hashes of words, sorted, each once, below 2**28."""
    made = {zlib.crc32(word.casefold().encode()) & (2**_BITS - 1) for word in words}
    return np.array(sorted(made), np.uint32)


def pack_hashes(hashes: NDArray[np.uint32]) -> bytes:
    """Return sorted hashes as bytes: differences, seven bits a byte, compressed."""
    steps = np.diff(hashes, prepend=np.uint32(0)).tolist()
    out = bytearray()
    for step in steps:
        while step >= 0x80:
            out.append(step & 0x7F | 0x80)
            step >>= 7
        out.append(step)
    return zlib.compress(bytes(out), 9)


def unpack_hashes(packed: bytes) -> NDArray[np.uint32]:
    """Return what ``pack_hashes`` packed."""
    data = np.frombuffer(zlib.decompress(packed), np.uint8)
    last = np.flatnonzero(data < 0x80)  # of each step
    first = np.append(0, last[:-1] + 1)
    place = np.arange(len(data)) - np.repeat(first, last - first + 1)
    parts = (data & 0x7F).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.cumsum(np.add.reduceat(parts, first)).astype(np.uint32)


def _holds(table: str, word: str) -> bool:
    word = word.replace("’", "'")
    return any(_hit(table, one) for one in singulars(re.sub(r"'s$", "", word)))


def _hit(table: str, word: str) -> bool:
    hashes = _read(table)
    wanted = zlib.crc32(word.encode()) & (2**_BITS - 1)
    place = int(np.searchsorted(hashes, wanted))
    return place < len(hashes) and int(hashes[place]) == wanted


@cache
def _read(table: str) -> NDArray[np.uint32]:
    return unpack_hashes((files("lexiseg.prompts") / "tables" / table).read_bytes())
