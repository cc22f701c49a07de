"""Nouns: one or several, and compounds that say more than their words."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib.resources import files

__all__ = ["IN_PAIRS", "PEOPLE", "WEARERS", "compounds", "is_plural", "singular"]

PEOPLE = frozenset({
    "person", "people", "man", "men", "woman", "women", "boy", "boys", "girl", "girls", "child",
    "children", "lady", "guy", "kid", "kids",
})  # fmt: skip
# Of these a colour is that of what they wear: "man in red", "red player".
WEARERS = PEOPLE | {
    noun + ending
    for ending in ("", "s")
    for noun in (
        "player",
        "rider",
        "skier",
        "surfer",
        "cyclist",
        "worker",
        "pedestrian",
        "dancer",
        "runner",
        "goalkeeper",
        "referee",
        "skateboarder",
        "snowboarder",
        "driver",
    )
}
# A pair of them is often one thing in a picture, or two that touch.
IN_PAIRS = frozenset({
    "shoe", "boot", "sock", "glove", "mitten", "sneaker", "sandal", "slipper", "heel", "earring",
    "skate", "eye", "ear", "hand", "foot",
})  # fmt: skip
_IRREGULAR = {
    "people": "person", "persons": "person", "men": "man", "women": "woman",
    "children": "child", "feet": "foot", "teeth": "tooth", "geese": "goose", "mice": "mouse",
    "wolves": "wolf", "knives": "knife", "leaves": "leaf", "loaves": "loaf", "shelves": "shelf",
    "halves": "half", "calves": "calf", "buses": "bus", "potatoes": "potato",
    "tomatoes": "tomato", "oxen": "ox", "dice": "die", "ones": "one",
}  # fmt: skip
# Several in form, one thing in the picture.
_ONE_THING = frozenset({
    "glasses", "sunglasses", "eyeglasses", "goggles", "pants", "trousers", "jeans", "shorts",
    "tights", "leggings", "stockings", "scissors", "binoculars", "pliers", "stairs", "clothes",
    "pajamas", "pyjamas", "headphones", "skis", "tongs", "panties", "overalls", "spectacles",
})  # fmt: skip
_NO_PLURAL = ("ss", "us", "is", "as", "os")
_SIBILANTS = ("ches", "shes", "xes", "sses", "zes")


def is_plural(noun: str) -> bool:
    """Whether a noun, of one or several words, names several things: "dogs", but not "glasses"."""
    last = noun.casefold().rpartition(" ")[2]
    return last not in _ONE_THING and singular(last) != last


def singular(noun: str) -> str:
    """Return a noun in the singular, by its ending; one that is singular, or no plural, as it is.

    "red foxes" -> "red fox"; "glasses" stays.
    """
    head, space, last = noun.rpartition(" ")
    low = last.casefold()
    if low in _ONE_THING:
        return noun
    if low in _IRREGULAR:
        return f"{head}{space}{_IRREGULAR[low]}"
    if len(low) < 4 or not low.endswith("s") or low.endswith(_NO_PLURAL):
        return noun
    if low.endswith("ies") and len(low) > 4:
        return f"{head}{space}{last[:-3]}y"
    return f"{head}{space}{last[: -2 if low.endswith(_SIBILANTS) else -1]}"


@cache
def compounds() -> Collection[str]:
    """Return the compounds that are no noun with an attribute, casefolded: "red wine", "hot dog".

    From WordNet, by the rule of ``lexiseg.training.wordnet.compounds``.
    """
    text = (files("lexiseg.prompts.phrases") / "compounds.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
