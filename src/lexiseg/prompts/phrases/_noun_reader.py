"""The noun of a phrase, and what stands before it."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import replace

from lexiseg.prompts.phrases._nouns import IN_PAIRS, PEOPLE, is_plural, singular
from lexiseg.prompts.phrases._phrase import EVERYTHING, Attribute, Phrase, Relation
from lexiseg.prompts.phrases._tokens import JOINERS, THAT, Tokens
from lexiseg.prompts.phrases.word_lists import (
    COLOURS,
    DETERMINERS,
    EXTREMES,
    GROUPS,
    NUMBERS,
    ORDINALS,
    POSITIONS,
    SHADES,
    SIZES,
    STATES,
    SUPERLATIVES,
    TURNED,
)

__all__ = ["BE", "RANKS", "NounReader", "UnreadablePhrase"]

BE = frozenset({"is", "are", "that's", "who's"})
_NO_NOUNS = frozenset({"one", "ones", "not", *ORDINALS, *DETERMINERS, *THAT, *BE})
RANKS = frozenset({*ORDINALS, *SUPERLATIVES, *EXTREMES, *SIZES, *POSITIONS})
_PAIR = -2
_OWNERS = re.compile("(?<=s)['\u2019]$|['\u2019]s$")
_NO_BEGINNING = frozenset({
    "on", "in", "at", "with", "without", "under", "of", "by", "behind", "between", "next", "near",
    "to", "from", "above", "below", "beside", "and", "or", "but", "is", "are",
})  # fmt: skip


class UnreadablePhrase(Exception):
    """The text is no phrase of this grammar."""


class NounReader(Tokens):
    """Reads from left to right; ``at`` is the place of the next word."""

    def __init__(self, tokens: Sequence[str], known: Collection[str]) -> None:
        super().__init__(tokens, known)
        self.at = 0

    @abstractmethod
    def union(self) -> Phrase:
        """Read one or more terms."""

    @property
    def done(self) -> bool:
        return self.at >= len(self.low)

    def noun(self) -> Phrase:
        while self.word(self.at) in DETERMINERS and self.word(self.at + 1) == "(":
            self.at += 1
        if self.take("("):
            bracketed = self.union()
            if not self.take(")"):
                raise UnreadablePhrase
            return bracketed
        chosen, number = self._partitive()
        end = self._end_of_nouns()
        owner = self._owner(end)
        attributes, count = self._modifiers(end)
        words, inner = self._without_colours(end)
        quoted = len(words) == 1 and words[0].startswith('"')
        head = words[0][1:-1] if quoted else " ".join(words)
        if not any(sign.isalnum() for sign in head) or '"' in head:
            raise UnreadablePhrase
        if not quoted and head.casefold() in {*_NO_NOUNS, EVERYTHING}:
            raise UnreadablePhrase
        self.at = end
        relations = () if owner is None else (Relation("of", owner.terms),)
        if chosen or number is not None:
            head, count = (head if (number or 1) > 1 else singular(head)), number
        elif count == _PAIR:
            single = singular(head.rpartition(" ")[2].casefold())
            count = 2 if is_plural(head) and single not in IN_PAIRS else None
        phrase = Phrase(head, (*chosen, *attributes, *inner), relations, count)
        return phrase if quoted else self._with_side(phrase)

    def _partitive(self) -> tuple[list[Attribute], int | None]:
        """Take "the largest of the", "one of the", "two of" before the noun."""
        start = self.at
        while self.peek() in DETERMINERS:
            self.at += 1
        attributes: list[Attribute] = []
        number = NUMBERS.get(self.peek())
        self.at += number is not None
        while self.compound(self.at) < 2 and self.peek() in RANKS - {*POSITIONS}:
            made = self.modifier(len(self.low), negated=False)
            if made is None:
                break
            attributes.append(made)
        behind = self.word(self.at + 1) in DETERMINERS
        if (attributes or number is not None) and self.peek() == "of" and behind:
            self.at += 1
            return attributes, number
        self.at = start
        return [], None

    def _modifiers(self, end: int) -> tuple[list[Attribute], int | None]:
        """What stands before the noun, which ends at ``end``: attributes, and how many."""
        attributes: list[Attribute] = []
        count: int | None = None
        negated = False
        while self.at < end and not self._is_head(end):
            word, following = self.low[self.at], self.word(self.at + 1)
            if word == "not" and not negated:
                negated, self.at = True, self.at + 1
                continue
            if word in DETERMINERS:
                self.at += 1
            elif word in GROUPS and following == "of":
                if any(one.kind == "order" for one in attributes):
                    raise UnreadablePhrase  # "second row of seats"
                count = {"pair": _PAIR, "couple": 2}.get(word, count)
                self.at += 2
            elif word in NUMBERS or (word.isdecimal() and 0 < int(word[:4]) < 100):
                count = NUMBERS.get(word) or int(word)
                self.at += 2 if following == "of" else 1
            else:
                made = self.modifier(end, negated=negated)
                if made is None:
                    break
                attributes.append(made)
            negated = False
        if negated or self.at >= end:
            raise UnreadablePhrase
        return attributes, count

    def _owner(self, end: int) -> Phrase | None:
        """Take "the man's", of words that end at ``end``; the noun begins behind it."""
        for place in range(self.at, end - 1):
            ending = _OWNERS.search(self.low[place])
            if ending and self.compound(place) < 2:
                words = [*self.tokens[self.at : place], self.tokens[place][: ending.start()]]
                self.at = place + 1
                reader = type(self)(words, self.known)
                owner = reader.union()
                if not reader.done:
                    raise UnreadablePhrase
                return owner
        return None

    def _without_colours(self, end: int) -> tuple[list[str], list[Attribute]]:
        """The noun's words, and colours that stood behind words unknown to the grammar.

        As in "old red car". Behind a noun they stay: a "man red shirt" is no red man.
        """
        start = self.at
        for place in range(start + 1, end - 1):
            known = self.low[place - 1] in self.known or self.low[place - 1] in PEOPLE
            if known or self.compound(place) > 1 or self.compound(place - 1) > 1:
                break
            if self.low[place] in COLOURS:
                self.at = place
                colour = self.colours(end - 1, negated=False)
                if colour is not None and self.at < end:
                    return [*self.tokens[start:place], *self.tokens[self.at : end]], [colour]
        return list(self.tokens[start:end]), []

    def modifier(self, end: int, *, negated: bool) -> Attribute | None:
        """The attribute that begins here, before a noun that ends at ``end``."""
        word, following = self.word(self.at), self.word(self.at + 1)
        colour = self.colours(end, negated=negated)
        if colour is not None:
            return colour
        place = 1
        if word in ORDINALS and following in {*SUPERLATIVES, *EXTREMES}:
            place, word, self.at = ORDINALS[word], following, self.at + 1
        if word in SUPERLATIVES or word in EXTREMES or word in SIZES:
            self.at += 1
            if word in EXTREMES or SUPERLATIVES.get(word) == "topmost":
                return Attribute("order", (EXTREMES.get(word, "top"),), place, negated=negated)
            return Attribute(
                "size", (SUPERLATIVES.get(word) or SIZES[word],), place, negated=negated
            )
        if word in ORDINALS and following != "hand":
            self.at += 1
            return Attribute("order", ("left",), ORDINALS[word], negated=negated)
        if word == "far" and following in POSITIONS:
            self.at += 2
            return Attribute("order", (POSITIONS[following],), negated=negated)
        if word in POSITIONS and word not in ("background", "foreground"):
            self.at += 1
            values = [POSITIONS[word]]
            if values[0] in ("top", "bottom") and following in ("left", "right"):
                values.append(following)
                self.at += 1
            return Attribute("position", tuple(values), negated=negated)
        return None

    def colours(self, end: int, *, negated: bool) -> Attribute | None:
        """One or more colours that begin here: "dark red", "black and white", "red or blue"."""
        values: list[str] = []
        any_of = False
        place = self.at
        while place < end or self.word(place) in COLOURS:
            shaded = place
            while self.word(shaded) in SHADES and self.word(shaded + 1) in {*SHADES, *COLOURS}:
                shaded += 1
            terms = COLOURS.get(self.word(shaded), ())
            if not terms:
                break
            any_of |= len(terms) > 1
            values += terms
            self.at = place = shaded + 1
            if self.word(place) in ("coloured", "colored"):
                self.at = place = place + 1
            joiner = self.word(place)
            if joiner in ("and", "or", "&"):
                any_of |= joiner == "or"
                place += 1
        if not values:
            return None
        return Attribute("colour", tuple(dict.fromkeys(values)), any=any_of, negated=negated)

    def _with_side(self, phrase: Phrase) -> Phrase:
        """A side that stands behind the noun without any word between: "player left"."""
        first, _, last = phrase.head.rpartition(" ")
        turned = first.rpartition(" ")[2].casefold() in TURNED
        if first and not turned and last.casefold() in ("left", "right"):
            side = Attribute("position", (last.casefold(),))
            return replace(phrase, head=first, attributes=(*phrase.attributes, side))
        return phrase

    def _end_of_nouns(self) -> int:
        """Where the modifiers and the noun end: at a word that begins something else."""
        place = self.at
        if self.compound(place) < 2 and (self.peek() in _NO_BEGINNING or self.position(place)):
            raise UnreadablePhrase
        while place < len(self.low):
            length = self.compound(place)
            if length > 1:
                place += length
                continue
            word = self.low[place]
            if place > self.at and (
                word in THAT or word in STATES or word in "()" or self.relation(place)
                or self.position(place) or self.exclusion(place) or word in BE or word == "not"
            ):  # fmt: skip
                break
            if word in ("(", ")"):
                break
            if word in JOINERS and not (place > self.at and self.joins_colours(place)):
                break
            if word in ("to", "from") and self._is_distance(place):
                break
            place += 1
        if place == self.at:
            raise UnreadablePhrase
        return place

    def _is_distance(self, place: int) -> bool:
        """Whether "to" or "from" stands behind a noun that is the closest, or the farthest."""
        return any(EXTREMES.get(word) in ("front", "back") for word in self.low[self.at : place])

    def _is_head(self, end: int) -> bool:
        """Whether the noun begins here: a last word, or a compound that must stay whole."""
        rest = end - self.at
        if rest == 1:
            return True
        length = self.compound(self.at)
        if length < 2:
            # "black man" speaks of skin, which nobody measures here.
            return rest == 2 and self.low[self.at] in ("black", "white", "brown") and (
                self.low[end - 1] in PEOPLE
            )  # fmt: skip
        if length == rest:
            return True
        for start in range(self.at + 1, min(self.at + length, end - 1)):
            if self.compound(start) == end - start:  # the noun at the end reaches in here
                return False
        return True

    def peek(self) -> str:
        return self.word(self.at)

    def take(self, word: str) -> bool:
        if self.word(self.at) != word:
            return False
        self.at += 1
        return True
