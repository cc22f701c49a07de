"""Names for results, one for each picture: pure functions, no two names alike on any system.

Results lie as their pictures do below the common parent of all. A result is called like its
picture without the ending; with it, where two would share a name; with a few hexadecimal digits
behind it, where they still would: names are compared as systems do that ignore case, and long ones
are cut. Time grows with the number of names, not faster.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2s

from lexiseg.export import safe_name

__all__ = ["HASHED", "LEVELS", "Item", "choose_places", "folded", "place_of"]

HASHED = 2  # from this level on, names hold digits of a hash
_DIGITS = (8, 16, 32)
LEVELS = HASHED + len(_DIGITS)


@dataclass(frozen=True)
class Item:
    """A picture by its names.

    folder: the safe names of its folders below the common parent. name: of its file.
    identity: what no other picture has, for the hash. ending: of the result, such as "-blur.png".
    """

    folder: tuple[str, ...]
    name: str
    identity: str
    ending: str = ""

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits."""
        return blake2s(self.identity.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def place_of(item: Item, level: int) -> tuple[str, ...]:
    """Return the parts of a result's path below the output folder.

    level: 0 without the picture's ending, 1 with it, then with ever more digits behind it.
    """
    if level == 0:
        base = safe_name(os.path.splitext(item.name)[0])
    else:
        base = safe_name(item.name)
    if level >= HASHED:
        base = f"{base}-{item.digest[: _DIGITS[level - HASHED]]}"
    return (*item.folder, base + item.ending)


def choose_places(items: Sequence[Item]) -> list[tuple[int, tuple[str, ...]]]:
    """Return a level and a place for each item, the lowest level at which no two results meet.

    Two meet where their paths are equal but for case, and where one is a folder on the way to the
    other. Whatever the order of the items, each gets the same place.
    """
    levels = [0] * len(items)
    places = [place_of(item, 0) for item in items]
    keys = [folded(place) for place in places]
    for _ in range(LEVELS - 1):
        counts: dict[tuple[str, ...], int] = {}
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
        folders = {key[:-1] for key in keys}
        folders |= {folder[:depth] for folder in folders for depth in range(1, len(folder))}
        meeting = [i for i, key in enumerate(keys) if counts[key] > 1 or key in folders]
        if not meeting:
            break
        for i in meeting:
            levels[i] = min(levels[i] + 1, LEVELS - 1)
            places[i] = place_of(items[i], levels[i])
            keys[i] = folded(places[i])
    return list(zip(levels, places, strict=True))


def folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return parts of a path as systems see them that ignore case."""
    return tuple(part.casefold() for part in parts)
