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

from lexiseg.prompts.phrases._noun_reader import BE, NounReader, UnreadablePhrase
from lexiseg.prompts.phrases._nouns import singular
from lexiseg.prompts.phrases._phrase import EVERYTHING, Attribute, Phrase, Relation
from lexiseg.prompts.phrases._tokens import JOINERS, THAT, tokenise
from lexiseg.prompts.phrases._word_lists import COLOURS, DETERMINERS, SHADES, STATES, WHOLES

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
        terms = [self.term()]
        while self.peek() in JOINERS:
            self.at += 1
            terms.append(self.term())
        terms = [one for term in terms for one in term.terms]
        return replace(terms[0], others=tuple(terms[1:])) if len(terms) > 1 else terms[0]

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
        if clause:
            self.take("the")
            attribute_here = self.modifier(self.at + 1, negated=negated)
            if attribute_here is not None:
                self.take("one") or self.take("ones")
                return replace(phrase, attributes=(*phrase.attributes, attribute_here))
            if self.done:  # "the man that is standing"
                return phrase
        return None

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
        while self.word(self.at) in THAT and not self.done:
            after = self._after(thing)
            if after is None:
                break
            thing = after
        return thing

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
