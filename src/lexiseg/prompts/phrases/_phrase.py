"""What a phrase says: the noun, what is true of it, and how it stands to other things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lexiseg.prompts.phrases._nouns import WEARERS, compounds
from lexiseg.prompts.phrases.word_lists import RESERVED

__all__ = ["EVERYTHING", "Attribute", "Phrase", "Relation"]

EVERYTHING = "everything"
_PLACES = ("last ", "", "second ", "third ", "fourth ", "fifth ", "sixth ", "seventh ", "eighth ",
           "ninth ", "tenth ")  # fmt: skip
_WHERE = {
    "left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom",
    "middle": "in the middle", "front": "in the foreground", "back": "in the background",
}  # fmt: skip


@dataclass(frozen=True)
class Attribute:
    """Something that may be true of a thing.

    kind: "colour", "size", "position" (a part of the picture), or "order" (a place among the
        things of a noun). values: basic colour terms; a size ("largest", "big", ...); one or two
        sides. place: for orders and superlatives, 2 for the second, 0 for the last. any: one of
        the values will do, else all count. negated: it must not be true.
    """

    kind: str
    values: tuple[str, ...]
    place: int = 1
    any: bool = False
    negated: bool = False

    def __str__(self) -> str:
        no = "not " if self.negated else ""
        if self.kind == "colour":
            return no + (" or " if self.any else " and ").join(self.values)
        if self.kind == "size":
            return f"{no}{_PLACES[self.place]}{self.values[0]}"
        if self.kind == "order":
            return f"{no}{_PLACES[self.place] or 'first '}from the {self.values[0]}"
        if len(self.values) == 2:
            return f"{no}at the {' '.join(self.values)}"
        return no + _WHERE[self.values[0]]


@dataclass(frozen=True)
class Relation:
    """How a thing stands to others: all of them, or with ``any`` one of them."""

    name: str
    objects: tuple[Phrase, ...]
    any: bool = False
    negated: bool = False

    def __str__(self) -> str:
        joined = (" or " if self.any else " and ").join(map(_nested, self.objects))
        name = "of the" if self.name == "of" else self.name
        if self.negated:
            name = "without" if name == "with" else f"not {name}"
        return f"{name} {joined}"


@dataclass(frozen=True)
class Phrase:
    """A noun phrase as it was read.

    head: the noun, one or several words; ``EVERYTHING`` for all that is there. attributes,
    relations: what must be true of a thing. count: how many things are meant, None where that is
    not said. but_not: things that are not meant. others: further noun phrases, for "eyes and
    glasses": what any of them means is meant.

    Its text is English that ``read_phrase`` reads as the same phrase.
    """

    head: str
    attributes: tuple[Attribute, ...] = ()
    relations: tuple[Relation, ...] = ()
    count: int | None = None
    but_not: tuple[Phrase, ...] = ()
    others: tuple[Phrase, ...] = ()

    def __post_init__(self) -> None:
        # In the order in which they are printed, so that what reads the same is the same.
        kinds = ("size", "colour", "position", "order")
        attributes = sorted(self.attributes, key=lambda one: kinds.index(one.kind))
        object.__setattr__(self, "attributes", tuple(attributes))
        relations = sorted(self.relations, key=lambda one: one.name != "of")
        object.__setattr__(self, "relations", tuple(relations))

    @property
    def is_plain(self) -> bool:
        """Whether it is a noun and nothing else."""
        return self == Phrase(self.head) and self.head != EVERYTHING

    @property
    def terms(self) -> tuple[Phrase, ...]:
        """The noun phrases that are joined by "and" or "or", each without the others."""
        if not self.others:
            return (self,)
        first = Phrase(self.head, self.attributes, self.relations, self.count, self.but_not)
        return (first, *self.others)

    def nouns(self) -> Iterator[str]:
        """Yield every noun in it, those of relations and exclusions too; some may repeat."""
        yield self.head
        for relation in self.relations:
            for thing in relation.objects:
                yield from thing.nouns()
        for other in (*self.but_not, *self.others):
            yield from other.nouns()

    def __str__(self) -> str:
        if self.others:
            return " and ".join(_nested(term) for term in self.terms)
        colours = [one for one in self.attributes if one.kind == "colour"]
        before = [one for one in self.attributes if one.kind == "size"]
        if self.head.casefold() not in WEARERS:
            before, colours = [*before, *colours[:1]], colours[1:]
        words = [] if self.count is None else [str(self.count)]
        words += map(str, before)
        compound = before and f"{before[-1].values[-1]} {self.head}".casefold() in compounds()
        free = _is_free(self.head) and not compound
        words.append(self.head if free else f'"{self.head}"')
        words += map(_behind, colours)
        # "dog of the man on the left": the other way round it would be "left of the man".
        owned = [str(one) for one in self.relations if one.name == "of"]
        words += [" and ".join(owned)] if owned else []
        places = [str(one) for one in self.attributes if one.kind in ("position", "order")]
        words += places
        others = [str(one) for one in self.relations if one.name != "of"]
        # "dog of the man with hat" would be the man's hat.
        words += ["and"] if owned and others and not places else []
        words += [" and ".join(others)] if others else []
        words += [f"but not {_nested(other)}" for other in self.but_not]
        return " ".join(words)


def _behind(colour: Attribute) -> str:
    """A colour behind its noun, as that of what people wear: "in red", "not in red"."""
    return f"{'not ' if colour.negated else ''}in {replace(colour, negated=False)}"


def _is_free(noun: str) -> bool:
    """Whether a noun is read as one without quotation marks."""
    return noun.isalpha() and noun.casefold() not in RESERVED


def _nested(phrase: Phrase) -> str:
    """A phrase inside another: in brackets, unless it is a noun alone."""
    return str(phrase) if phrase.is_plain else f"({phrase})"
