"""The words that the bundled model is trained with, and how label names of data sets are read."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["ATTRIBUTES", "TEMPLATES", "mirrored", "spelled"]

# Label names written together or in a technical way -> the phrase that they stand for.
_SPELLED = {
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

ATTRIBUTES = (
    "red", "blue", "green", "yellow", "black", "white", "brown", "grey", "orange", "pink",
    "purple", "golden", "silver", "dark", "bright", "small", "big", "tall", "old", "young",
    "new", "wooden", "metal", "plastic", "glass", "leather", "striped", "round", "wet", "parked",
)  # fmt: skip

TEMPLATES = (
    "a photo of a {}", "a photo of the {}", "the {}", "a {}", "an image of a {}",
    "a picture of {}", "{} in the scene", "one {}", "some {}", "a close-up of a {}",
)  # fmt: skip


def spelled(name: str) -> str:
    """A data set's label name -> the phrase that it stands for, in lower case."""
    plain = name.replace("_", " ").strip()
    return _SPELLED.get(plain.lower(), plain.lower())


def mirrored(names: Iterable[str]) -> dict[int, int]:
    """Indices of names that trade places when a picture is flipped: "left eye" <-> "right eye"."""
    listed = list(names)
    places = {n: i for i, n in enumerate(listed)}
    swap = {}
    for i, name in enumerate(listed):
        other = re.sub(
            r"\b(left|right)\b", lambda m: "right" if m[1] == "left" else "left", name, count=1
        )
        if other != name and other in places:
            swap[i] = places[other]
    return swap
