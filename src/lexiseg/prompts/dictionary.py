"""Which words a dictionary holds, and which are names: of people, brands and places.

The dictionary is WordNet's, as two sets of 28-bit hashes (of nouns that name a kind of thing, and
of nouns, adjectives and adverbs), sorted, their differences packed: 0.05 % of other words pass for
one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOUNS", "WORDS", "hash_words", "is_name", "pack_hashes", "singulars", "unpack_hashes"]

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
