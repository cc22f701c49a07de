"""Class names of data sets as the papers of the SCLIP family ask for them: a line a class.

Names between bars mean the same class. The plain files are SCLIP's and NACLIP's; ClearCLIP,
ProxyCLIP and Trident ask for other synonyms of some sets, and other words for the background.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from lexiseg.errors import UnknownName

__all__ = ["is_stuff", "names", "read"]

# Sets whose first class is everything without a name.
_WITH_REST = frozenset({"coco-object", "context60", "voc21"})
# Paper -> the end of its files' names; where a set has no such file it has the plain one.
_PAPERS = {
    "sclip": "", "naclip": "", "clearclip": ".clearclip", "proxyclip": ".proxyclip",
    "trident": ".proxyclip",
}  # fmt: skip
_SAME = {"voc20.clearclip": "voc20.proxyclip"}


def names() -> tuple[str, ...]:
    """Return the names of all sets: "voc21"; "voc21.clearclip" for another paper's words."""
    plain = sorted({name.partition(".")[0] for name in _there()})
    return (*plain, *(f"{name}.{paper}" for name in plain for paper in _PAPERS))


def read(name: str) -> tuple[tuple[tuple[str, ...], ...], bool]:
    """Return the classes of a set, each with all its names, and whether the first is the rest.

    Raises UnknownName.
    """
    if name not in names():
        raise UnknownName.among("vocabulary", name, names())
    plain, _, paper = name.partition(".")
    own = f"{plain}{_PAPERS[paper] if paper else ''}"
    own = _SAME.get(own, own)
    text = (_FOLDER / f"{own if own in _there() else plain}.txt").read_text(encoding="utf-8")
    return tuple(tuple(line.split("|")) for line in text.splitlines()), plain in _WITH_REST


def is_stuff(word: str) -> bool:
    """Whether a word names stuff, such as sky or grass, and not things that can be counted.

    As COCO-Stuff and Cityscapes divide their classes; a word of neither is a thing.
    """
    return word.casefold().replace("-", " ").strip() in _stuff()


@cache
def _stuff() -> frozenset[str]:
    """The words for stuff: COCO-Stuff's, with and without their kinds, and Cityscapes' eleven."""
    classes, _ = read("coco-stuff164k")
    own = [name for names in classes[_COCO_THINGS:] for name in names]
    own += [name for names in read("cityscapes")[0][:_CITYSCAPES_STUFF] for name in names]
    plain = {name.casefold().replace("-", " ") for name in own}
    kinds = {name.removesuffix(" other").removesuffix(" stuff") for name in plain}
    first = {name.split()[0] for name in plain if name.split()[0] in ("wall", "floor", "ceiling")}
    return frozenset(plain | kinds | first)


_COCO_THINGS, _CITYSCAPES_STUFF = 80, 11  # how many of the sets' classes, which come first
_FOLDER = files(__name__)


def _there() -> set[str]:
    found = (entry.name for entry in _FOLDER.iterdir())
    return {name.removesuffix(".txt") for name in found if name.endswith(".txt")}
