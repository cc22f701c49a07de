"""The words that the grammar of phrases knows: colours, sizes, positions, relations, numbers."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "BUT_NOT", "COLOURS", "DETERMINERS", "EXTREMES", "GROUPS", "NUMBERS", "ORDINALS", "POSITIONS",
    "POSITION_NOUNS", "RELATIONS", "RESERVED", "SHADES", "SIZES", "STATES", "SUPERLATIVES",
    "TURNED", "WHOLES",
]  # fmt: skip

# Colour words -> the basic colour terms (Berlin and Kay 1969) that they may look like.
COLOURS: Mapping[str, tuple[str, ...]] = {
    "black": ("black",), "white": ("white",), "grey": ("grey",), "red": ("red",),
    "orange": ("orange",), "yellow": ("yellow",), "green": ("green",), "blue": ("blue",),
    "purple": ("purple",), "pink": ("pink",), "brown": ("brown",),
    "gray": ("grey",), "silver": ("grey", "white"), "violet": ("purple",), "lilac": ("purple",),
    "magenta": ("purple", "pink"), "cyan": ("blue",), "turquoise": ("blue", "green"),
    "teal": ("blue", "green"), "navy": ("blue",), "gold": ("yellow", "orange"),
    "golden": ("yellow", "orange", "brown"), "beige": ("brown", "white"),
    "tan": ("brown", "orange"), "cream": ("white", "yellow"), "crimson": ("red",),
    "scarlet": ("red",),
    "maroon": ("red", "brown"), "blond": ("yellow", "brown"), "blonde": ("yellow", "brown"),
}  # fmt: skip
SHADES = frozenset({"light", "dark", "bright", "pale", "deep", "navy", "sky", "royal", "baby"})

# "the", and what says no more than it does.
DETERMINERS = frozenset({
    "a", "an", "the", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our",
    "their", "all", "any", "some", "every", "each", "only", "just",
    "other", "another",
})  # fmt: skip
NUMBERS: Mapping[str, int] = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "both": 2,
}  # fmt: skip
ORDINALS: Mapping[str, int] = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
    "eighth": 8, "ninth": 9, "tenth": 10, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5,
    "6th": 6, "7th": 7, "8th": 8, "9th": 9, "10th": 10, "last": 0,
}  # fmt: skip

# "big": of several the biggest, or those that are about as big.
SIZES: Mapping[str, str] = {
    "big": "big", "large": "big", "huge": "big", "bigger": "big", "larger": "big",
    "small": "small", "little": "small", "tiny": "small", "smaller": "small", "tall": "tall",
    "taller": "tall",
}  # fmt: skip
SUPERLATIVES: Mapping[str, str] = {
    "largest": "largest", "biggest": "largest", "smallest": "smallest", "littlest": "smallest",
    "tiniest": "smallest", "tallest": "tallest", "highest": "topmost", "shortest": "shortest",
    "widest": "widest", "narrowest": "narrowest", "longest": "longest",
}  # fmt: skip

# Where in the picture. "top" and "bottom" after a noun are places too, see the parser.
POSITIONS: Mapping[str, str] = {
    "left": "left", "right": "right", "top": "top", "upper": "top", "bottom": "bottom",
    "lower": "bottom", "middle": "middle", "center": "middle", "centre": "middle",
    "central": "middle", "front": "front", "foreground": "front", "back": "back", "rear": "back",
    "background": "back",
}  # fmt: skip
# One of several by its place: number one from that side.
EXTREMES: Mapping[str, str] = {
    "leftmost": "left", "rightmost": "right", "topmost": "top", "uppermost": "top",
    "bottommost": "bottom", "lowest": "bottom", "nearest": "front", "closest": "front",
    "farthest": "back", "furthest": "back",
}  # fmt: skip
# "on the left SIDE of the PICTURE".
POSITION_NOUNS = frozenset({
    "side", "corner", "half", "part", "edge", "end", "row", "hand",
    "picture", "image", "photo", "photograph", "frame", "scene",
})  # fmt: skip

# Relations as they are written -> their names; longer ones are looked for first.
RELATIONS: Mapping[str, str] = {
    "on": "on", "on top of": "on", "atop": "on", "upon": "on", "riding": "on", "riding on": "on",
    "in": "in", "inside": "in", "inside of": "in", "within": "in",
    "under": "under", "underneath": "under", "beneath": "under", "below": "under",
    "above": "above", "over": "above",
    "next to": "next to", "beside": "next to", "near": "next to", "close to": "next to",
    "by": "next to", "at": "next to", "alongside": "next to", "adjacent to": "next to",
    "against": "next to",
    "left of": "left of", "to the left of": "left of", "on the left of": "left of",
    "right of": "right of", "to the right of": "right of", "on the right of": "right of",
    "in front of": "in front of", "before": "in front of", "behind": "behind",
    "in back of": "behind", "nearest to": "nearest to", "closest to": "nearest to",
    "farthest from": "farthest from", "furthest from": "farthest from",
    "between": "between", "in between": "between",
    "with": "with", "having": "with", "has": "with", "have": "with",
    "wearing": "wearing", "wears": "wearing", "dressed in": "wearing", "holding": "holding",
    "holds": "holding", "carrying": "holding", "without": "without", "with no": "without",
    "of the": "of", "of a": "of", "of an": "of", "of my": "of", "of this": "of",
}  # fmt: skip
# What a thing does in its place says no more than the place.
STATES = frozenset({
    "sitting", "seated", "standing", "lying", "laying", "walking", "running", "parked", "hanging",
    "sleeping", "resting", "leaning", "placed", "located", "swimming", "flying", "driving",
    "grazing", "growing", "playing", "waiting", "lies", "sits", "stands",
})  # fmt: skip

BUT_NOT = (
    ("but", "not", "for"), ("but", "not"), ("except", "for"), ("except",), ("excluding",),
    ("apart", "from"), ("other", "than"), ("excepting",), ("minus",), ("but",),
)  # fmt: skip
WHOLES = frozenset({"everything", "anything", "all"})
GROUPS = frozenset({"pair", "couple", "group", "bunch", "row", "herd", "flock", "crowd"})
# "cow FACING left" stands anywhere.
TURNED = frozenset({"facing", "looking", "turning", "turned", "pointing", "moving", "going"})

# Nouns that are one of these stand in quotation marks where a phrase is printed.
RESERVED = frozenset({
    *COLOURS, *SHADES, *DETERMINERS, *NUMBERS, *ORDINALS, *SIZES, *SUPERLATIVES, *POSITIONS,
    *EXTREMES, *STATES, *WHOLES, *GROUPS, *(word for text in RELATIONS for word in text.split()),
    *(word for words in BUT_NOT for word in words), "and", "or", "plus", "that", "which", "who",
    "is", "are", "not", "no", "far", "from", "one", "ones",
}) - {"everything", "sky", "baby", "row"}  # fmt: skip
