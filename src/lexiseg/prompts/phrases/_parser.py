"""From a text to a Phrase: recursive descent over its words, with one word of look-ahead.

    text     = term { ("and" | "or") term }
    term     = "everything" but_not | { modifier } noun { after } { but_not }
    modifier = determiner | number | size | colour | position | ordinal
    after    = position | "second from the left" | "in red" | ["that is"] relation things
    things   = term { ("and" | "or") term }, without what stands after the noun
    but_not  = ("but not" | "except" | ...) term

What stands behind the things of a relation belongs to the first noun again: in "man in a hat on
the left" the man is on the left. "that is" and brackets change that: "man next to (dog on the
left)". A noun in quotation marks is one word.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from lexiseg.prompts.phrases._noun_reader import BE, RANKS, NounReader, UnreadablePhrase
from lexiseg.prompts.phrases._nouns import WEARERS, singular
from lexiseg.prompts.phrases._phrase import EVERYTHING, Attribute, Phrase, Relation
from lexiseg.prompts.phrases._tokens import JOINERS, THAT, VIEWER, tokenise
from lexiseg.prompts.phrases.word_lists import COLOURS, DETERMINERS, SHADES, STATES, WHOLES

__all__ = ["read_phrase"]


@lru_cache(maxsize=4096)
def read_phrase(text: str, known: frozenset[str] = frozenset()) -> Phrase:
    """Return what a text says; one that the grammar does not read is a noun as a whole.

    known: words that the model knows, casefolded: longer ones stay whole ("hot dog"), as do
    compounds of WordNet ("red wine"). Of "red wine glass" the noun is the longest known compound at
    its end, "wine glass". Never raises, and the noun is never empty.
    """
    try:
        reader = _Reader(tokenise(text), known)
        phrase = reader.union()
        if not reader.done:
            raise UnreadablePhrase
    except (UnreadablePhrase, RecursionError):
        phrase = Phrase(" ".join(text.replace('"', " ").split()) or "thing")
    return phrase


class _Reader(NounReader):
    """Reads terms, and what stands behind their nouns."""

    def union(self) -> Phrase:
        """One or more terms."""
        terms: list[Phrase] = []
        waiting: list[Attribute] = []  # of "left and right dog", what stands before the last noun
        while True:
            before = self._before_joiner()
            if isinstance(before, Phrase):
                terms.append(before)
            elif before is not None:
                waiting.append(before)
            else:
                term = self.term()
                terms += [_like(term, one) for one in waiting]
                terms += [replace(term, head=singular(term.head)) if waiting else term]
                waiting = []
            if self.peek() not in JOINERS:
                break
            self.at += 1
        terms = [one for term in terms for one in term.terms]
        return replace(terms[0], others=tuple(terms[1:])) if len(terms) > 1 else terms[0]

    def _before_joiner(self) -> Attribute | Phrase | None:
        """Take an attribute without a noun before "and", as "left" in "left and right dog".

        Of "left and right eye" it is a noun, "left eye", where that is a known compound.
        """
        start = self.at
        while self.peek() in DETERMINERS:
            self.at += 1
        made = None if self.compound(self.at) > 1 else self.modifier(len(self.low), negated=False)
        following = self.at + 1
        while self.word(following) in DETERMINERS:
            following += 1
        if made is not None and made.kind != "colour" and self.peek() in JOINERS:
            length = self.compound(following)
            whole = " ".join([self.low[self.at - 1], *self.low[following + 1 : following + length]])
            if length > 1 and self.is_known(whole):
                return Phrase(whole)
            if length < 2 and self.word(following) in RANKS:
                return made
        self.at = start
        return None

    def term(self) -> Phrase:
        """A noun with all that is said of it."""
        phrase = self._whole() or self.noun()
        if phrase.others:  # brackets around several: nothing more is said of all of them
            return phrase
        while not self.done:
            after = self._after(phrase)
            if after is None:
                break
            phrase = after
        return phrase

    # What stands behind the noun

    def _after(self, phrase: Phrase) -> Phrase | None:
        """The phrase with what is said next; None where nothing is."""
        start = self.at
        excluded = self.exclusion(self.at)
        if excluded:
            self.at += excluded
            return replace(phrase, but_not=(*phrase.but_not, self._excluded(phrase)))
        if phrase.head == EVERYTHING:
            return None
        more = self.word(self.at) == "and" and bool(phrase.relations or phrase.attributes)
        self.at += more
        clause = self._clause()
        if self.word(self.at) in STATES and (clause or self._said_later(self.at + 1)):
            self.at += 1
        negated = self.take("not")
        made = self._said(phrase, negated=negated, clause=clause)
        if made is None:
            self.at = start
            if clause or negated:
                raise UnreadablePhrase
        return made

    def _clause(self) -> bool:
        """Take "that is", "who are", "is"."""
        if self.word(self.at) in BE:
            self.at += 1
            return True
        if self.word(self.at) in THAT and self.word(self.at + 1) in {*BE, "has", "have", "wears",
                                                                   "holds", *STATES}:  # fmt: skip
            self.at += 1 + (self.word(self.at + 1) in BE)
            return True
        return False

    def _said_later(self, place: int) -> bool:
        return bool(self.relation(place) or self.position(place)) or place >= len(self.low)

    def _said(self, phrase: Phrase, *, negated: bool, clause: bool) -> Phrase | None:
        """One attribute or relation behind the noun."""
        found = self.position(self.at)
        if found is not None:
            attribute, length = found
            counted = self.word(self.at) == "from"
            self.at += length
            made = replace(attribute, negated=negated)
            before = phrase.attributes
            if counted and before and before[-1].kind == "order":  # "third car from the right"
                return replace(
                    phrase, attributes=(*before[:-1], replace(before[-1], values=made.values))
                )
            return replace(phrase, attributes=(*before, made))
        name, length = self.relation(self.at) or ("", 0)
        if name == "in" and self.word(self.at + length) in {*COLOURS, *SHADES}:
            made_of = self._worn_colour(length, negated=negated)
            if made_of is not None:
                return replace(phrase, attributes=(*phrase.attributes, made_of))
        if name:
            self.at += length
            relation = self._related(name, negated=negated)
            return replace(phrase, relations=(*phrase.relations, relation))
        if self.peek() in ("to", "from") and self._is_nearest(phrase):
            self.at += 1
            viewer = self.at + (self.peek() in DETERMINERS)
            if self.word(viewer) in VIEWER:
                self.at = viewer + 1
                return phrase
            name = "nearest to" if self.low[self.at - 1] == "to" else "farthest from"
            places = tuple(a for a in phrase.attributes if a.values not in (("front",), ("back",)))
            relation = Relation(name, (self._thing(),))
            return replace(phrase, attributes=places, relations=(*phrase.relations, relation))
        if clause:
            self.take("the")
            attribute_here = self.modifier(self.at + 1, negated=negated)
            if attribute_here is not None:
                self.take("one") or self.take("ones")
                return replace(phrase, attributes=(*phrase.attributes, attribute_here))
            if self.done:  # "the man that is standing"
                return phrase
        return None

    def _is_nearest(self, phrase: Phrase) -> bool:
        """Whether "closest dog" was read, and "to the cat" follows."""
        value = {"to": ("front",), "from": ("back",)}[self.peek()]
        return any(one.kind == "order" and one.values == value for one in phrase.attributes)

    def _worn_colour(self, length: int, *, negated: bool) -> Attribute | None:
        """The colour of "in red", where no noun follows."""
        start = self.at
        self.at += length
        colour = self.colours(self.at, negated=negated)
        following = self.word(self.at)
        if following in ("", ")", *JOINERS, *THAT) or self.relation(self.at) or (
            self.position(self.at) or self.exclusion(self.at)
        ):  # fmt: skip
            return colour
        self.at = start
        return None

    def _related(self, name: str, *, negated: bool) -> Relation:
        """The things of a relation."""
        negated ^= self.take("no")
        objects = [self._thing()]
        any_of = False
        while self.word(self.at) in JOINERS and not self._begins_again(self.at + 1):
            any_of |= JOINERS[self.word(self.at)]
            self.at += 1
            objects.append(self._thing())
        terms = tuple(one for thing in objects for one in thing.terms)
        if name == "without":
            return Relation("with", terms, any=any_of, negated=not negated)
        return Relation(name, terms, any=any_of, negated=negated)

    def _thing(self) -> Phrase:
        """A noun with its modifiers, and "that is" behind it."""
        thing = self.noun()
        while not self.done and (self.word(self.at) in THAT or self._belongs(thing)):
            after = self._after(thing)
            if after is None:
                break
            thing = after
        return thing

    def _belongs(self, thing: Phrase) -> bool:
        """Whether what follows is said of the nearest noun: "of the", and of people what they wear.

        "Dog next to the woman in blue", "bird on the branch of the tree".
        """
        name, length = self.relation(self.at) or ("", 0)
        if name == "of":
            return True
        coloured = name == "in" and self.word(self.at + length) in {*COLOURS, *SHADES}
        worn = coloured or name in ("with", "without", "wearing", "holding")
        return worn and thing.head.casefold() in WEARERS

    def _begins_again(self, place: int) -> bool:
        """Whether what follows "and" is said of the first noun, and is no further thing."""
        return bool(self.relation(place) or self.position(place)) or self.word(place) in (
            "", *BE, *THAT, "not", *STATES,
        )  # fmt: skip

    def _excluded(self, phrase: Phrase) -> Phrase:
        """What is not meant: "the red ones", "red", "on the left" speak of the same noun."""
        start = self.at
        while self.word(self.at) in {*DETERMINERS, "not"}:
            self.at += 1
        attributes: list[Attribute] = []
        place = self.at
        while (made := self.modifier(len(self.low), negated=False)) is not None:
            attributes.append(made)
        head = singular(phrase.head)
        if self.word(self.at) in ("one", "ones"):
            head = phrase.head if self.word(self.at) == "ones" else head
            self.at += 1
        elif not (attributes and (self.done or self.word(self.at) == ")")):
            self.at, attributes = place, []
            found = self.position(self.at)
            if found is None and self.relation(self.at) is None:
                self.at = start
                return self._noun_with_clause()
        same = Phrase(head, tuple(attributes))
        while not self.done and self.exclusion(self.at) == 0:
            after = self._after(same)
            if after is None:
                break
            same = after
        if same.is_plain:
            raise UnreadablePhrase
        return same

    def _noun_with_clause(self) -> Phrase:
        noun = self.noun()
        while not self.done and not noun.others and self.exclusion(self.at) == 0:
            after = self._after(noun)
            if after is None:
                break
            noun = after
        return noun

    def _whole(self) -> Phrase | None:
        """ "Everything but ..."."""
        place = self.at
        while self.word(place) in DETERMINERS and self.word(place) not in WHOLES:
            place += 1
        if self.word(place) not in WHOLES or not self.exclusion(place + 1):
            return None
        self.at = place + 1
        nouns: list[Phrase] = []
        while length := self.exclusion(self.at):
            self.at += length
            nouns.append(self._noun_with_clause())
            while self.word(self.at) in JOINERS:
                self.at += 1
                self.at += self.exclusion(self.at)
                nouns.append(self._noun_with_clause())
        flat = tuple(one for noun in nouns for one in noun.terms)
        return Phrase(EVERYTHING, but_not=flat)


def _like(phrase: Phrase, attribute: Attribute) -> Phrase:
    """The same noun with another attribute of its kind, and all else that is said of it."""
    kinds = {attribute.kind, *(("position", "order") if attribute.kind != "size" else ())}
    orders = [one for one in phrase.attributes if one.kind == attribute.kind == "order"]
    if orders and orders[0].place != 1:  # "first and second dog from the right"
        attribute = replace(attribute, values=orders[0].values)
    rest = tuple(one for one in phrase.attributes if one.kind not in kinds)
    return replace(phrase, head=singular(phrase.head), attributes=(attribute, *rest))
