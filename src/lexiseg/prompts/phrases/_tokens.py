"""The words of a text, and what begins at each place: a compound, a position, a relation."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from lexiseg.prompts.phrases._nouns import compounds, singular
from lexiseg.prompts.phrases._phrase import Attribute
from lexiseg.prompts.phrases.word_lists import (
    BUT_NOT,
    COLOURS,
    DETERMINERS,
    EXTREMES,
    ORDINALS,
    POSITION_NOUNS,
    POSITIONS,
    RELATIONS,
    SHADES,
    STATES,
    SUPERLATIVES,
)

__all__ = ["JOINERS", "THAT", "VIEWER", "Tokens", "tokenise"]

JOINERS: Mapping[str, bool] = {"and": False, "&": False, "plus": False, "or": True}
THAT = frozenset({"that", "which", "who", "that's", "who's"})
_TOKEN = re.compile(r'"[^"]+"|[()]|[^\s()"]+')
_DASHED = re.compile(r"(?<=[a-z])-and-(?=[a-z])", re.I)
_IS_NOT = re.compile(r"\b(is|are|was|were)n['\u2019]t\b", re.I)
_HAS_NOT = re.compile(
    r"\b(?:(?:that|which|who) +)?(?:does|do)(?:n['\u2019]t| +not) +(hav|wear|hold)e?\b", re.I
)
_LONGEST = 6  # words of a compound
VIEWER = frozenset({"camera", "viewer", "us", "me", "lens"})


def tokenise(text: str) -> list[str]:
    """Return the words of a text, brackets, and what stands in quotation marks."""
    return [part for token in _TOKEN.findall(_plainly(text)) for part in _split(token)]


def _plainly(text: str) -> str:
    """A text without contractions: "isn't", "doesn't have"."""
    parts = text.split('"')  # what stands in quotation marks stays as it is
    parts[::2] = [_HAS_NOT.sub(r" not \1ing ", _IS_NOT.sub(r"\1 not", one)) for one in parts[::2]]
    return '"'.join(parts)


class Tokens:
    """Words in order; nothing here moves on. known: see ``read_phrase``."""

    def __init__(self, tokens: Sequence[str], known: Collection[str]) -> None:
        self.tokens = tokens
        self.low = [token.casefold() for token in tokens]
        self.known = known

    def word(self, place: int) -> str:
        return self.low[place] if place < len(self.low) else ""

    def compound(self, place: int) -> int:
        """How many words the longest known compound has that begins here; 0 for none."""
        for length in range(min(_LONGEST, len(self.low) - place), 1, -1):
            text = " ".join(self.low[place : place + length])
            if self.is_known(text) or self.is_known(singular(text)):
                return length
        return 1 if place < len(self.low) and self.low[place].startswith('"') else 0

    def is_known(self, text: str) -> bool:
        """Whether a text, casefolded, is a word of the model or a compound."""
        return text in self.known or text in compounds()

    def relation(self, place: int) -> tuple[str, int] | None:
        """The relation that begins here, and how many words name it."""
        for length in (4, 3, 2, 1):
            text = " ".join(self.low[place : place + length])
            if len(text.split()) == length and text in RELATIONS:
                return RELATIONS[text], length - (length == 2 and text.startswith("of "))
        return None

    def exclusion(self, place: int) -> int:
        """How many words "but not" takes here; 0 where it does not stand here."""
        for words in BUT_NOT:
            if tuple(self.low[place : place + len(words)]) == words:
                return len(words)
        return 0

    def joins_colours(self, place: int) -> bool:
        """Whether "and" stands between colours of one noun: "black and white cow"."""
        if self.word(place - 1) not in COLOURS:
            return False
        while self.word(place) in JOINERS and self.word(place + 1) in {*COLOURS, *SHADES}:
            place += 2
            while self.word(place - 1) in SHADES and self.word(place) in {*SHADES, *COLOURS}:
                place += 1
        return self.word(place) not in ("", ")", "(", *JOINERS) and self.word(place - 1) in COLOURS

    def position(self, place: int) -> tuple[Attribute, int] | None:
        """The position that is named here behind a noun, and how many words name it."""
        word = self.word(place)
        if word in ORDINALS or word in ("from",):
            number = ORDINALS.get(word, 1)
            skip = place + (word in ORDINALS)
            if self.word(skip) == "from":
                side = skip + 1 + (self.word(skip + 1) == "the")
                if self.word(side) in POSITIONS:
                    sides = (POSITIONS[self.word(side)],)
                    return Attribute("order", sides, number), side + 1 - place
            return None
        if word in EXTREMES:
            skip = place + 1 + (self.word(place + 1) in ("to", "from"))
            skip += self.word(skip) == "the"
            if skip > place + 1 and (self.word(skip) in VIEWER or self.word(skip) in POSITIONS):
                sides = (POSITIONS.get(self.word(skip), EXTREMES[word]),)
                return Attribute("order", sides), skip + 1 - place
            return None
        if word in ("behind", "above", "below") and self._ends(place + 1):
            value = {"behind": "back", "above": "top", "below": "bottom"}[word]
            return Attribute("position", (value,)), 1
        if word not in ("on", "to", "at", "in"):
            return None
        start = skip = place + 1
        while self.word(skip) in ("the", "far", "very", "extreme"):
            skip += 1
        far = "far" in self.low[start:skip]
        values: list[str] = []
        while self.word(skip) in POSITIONS and len(values) < 2:
            values.append(POSITIONS[self.word(skip)])
            skip += 1
            if self.word(skip) == "and":  # "at the top and left"
                break
        if not values or self.compound(place + 1) > 1:
            return None
        if self.word(skip) == "of" and word != "at" and not self._in_picture(skip):
            return None  # "on the left of the tree", "in front of the house"
        if self.word(skip) in POSITION_NOUNS or (self.word(skip) == "most"):
            skip += 1
        elif not self._ends(skip) and self.word(skip) != "of":
            return None
        skip += self._in_picture(skip)
        if self.word(skip) == "of":
            return None
        kind = "order" if far and len(values) == 1 else "position"
        return Attribute(kind, tuple(values)), skip - place

    def _in_picture(self, place: int) -> int:
        """How many words "of the picture" takes; 0 where it does not stand here."""
        if self.word(place) not in ("of", "in"):
            return 0
        skip = place + 1 + (self.word(place + 1) in DETERMINERS)
        return skip + 1 - place if self.word(skip) in POSITION_NOUNS else 0

    def _ends(self, place: int) -> bool:
        """Whether nothing more belongs to what was just read."""
        word = self.word(place)
        return (
            word in ("", ")", *JOINERS, *THAT, "of", "in", "not")
            or word in STATES
            or self.exclusion(place) > 0
            or self.relation(place) is not None
            or word in ORDINALS
        )


def _split(token: str) -> list[str]:
    """A token as the words it stands for: "black-and-white", "left-most"."""
    if token.startswith('"'):
        return [token]
    parts = _DASHED.sub(lambda hit: " and " if "and" in hit[0].casefold() else "", token).split()
    if len(parts) > 1 and all(part.casefold() in COLOURS for part in parts[::2]):
        return parts
    low = token.casefold().replace("-", "")
    if low in EXTREMES:
        return [low]
    ranked = token.casefold().split("-")
    if len(ranked) == 2 and ranked[0] in ORDINALS and ranked[1] in SUPERLATIVES:
        return ranked
    if len(ranked) == 2 and ranked[0] in ("left", "right") and ranked[1] == "hand":
        return ranked[:1]
    return [token]
