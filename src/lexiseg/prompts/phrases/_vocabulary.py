"""The nouns that a vocabulary of phrases is about: what a segmenter is asked for in its place."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from lexiseg.prompts.phrases._nouns import is_plural, singular
from lexiseg.prompts.phrases._parser import read_phrase
from lexiseg.prompts.phrases._phrase import EVERYTHING, Phrase
from lexiseg.prompts.vocabulary import Vocabulary, Word

__all__ = ["PhraseVocabulary", "noun_vocabulary", "whole_vocabulary"]


@dataclass(frozen=True)
class PhraseVocabulary:
    """A vocabulary with phrases in it, and the nouns that it is about.

    vocabulary: as it was asked. nouns: its words that are no phrases, then the nouns of phrases.
    phrases: word -> its noun phrases, any of which will do; words that are none are not in it.
    excluded: the noun phrases that are excluded. classes: noun -> its place among the nouns.
    """

    vocabulary: Vocabulary
    nouns: Vocabulary
    phrases: dict[str, tuple[Phrase, ...]]
    excluded: tuple[Phrase, ...]
    classes: dict[str, int]


def noun_vocabulary(
    vocabulary: Vocabulary, known: frozenset[str], whole: Collection[str] = ()
) -> PhraseVocabulary | None:
    """Return the nouns of a vocabulary, None where all of its words are nouns.

    known: words that the model knows, casefolded; a plural that is not among them is asked for in
    the singular. whole: kinds of what a phrase says that the model may see by itself: "colour",
    "relation". Such phrases stand for their noun too, as a synonym does.
    """
    phrases = {}
    for k, word in enumerate(vocabulary.words):
        if k != vocabulary.background_index and not word.examples:
            read = _phrases_of(word, known)
            if read:
                phrases[word.name] = read
    excluded = {word.name: _phrases_of(word, known) for word in vocabulary.excluded}
    if not phrases and not any(excluded.values()):
        return None
    builder = _Nouns(vocabulary, set(phrases), {n for n, read in excluded.items() if read}, known)
    for name, terms in phrases.items():
        for phrase in terms:
            text = name if len(terms) == 1 and _is_visible(phrase, whole) else None
            builder.add(phrase, text)
    for terms in excluded.values():
        for phrase in terms:
            builder.add(phrase, None)
    flat = tuple(phrase for terms in excluded.values() for phrase in terms)
    return PhraseVocabulary(vocabulary, builder.vocabulary(), phrases, flat, builder.classes)


def whole_vocabulary(vocabulary: Vocabulary, phrase: Phrase, text: str) -> Vocabulary:
    """Return what to ask for to see a phrase as a whole: its text, and its other nouns beside it.

    So that the horse of a "person on horse" is a horse.
    """
    things = (thing for relation in phrase.relations for thing in relation.objects)
    nouns = dict.fromkeys(noun for thing in things for noun in thing.nouns())
    same = {text.casefold(), phrase.head.casefold(), EVERYTHING}
    others = [singular(noun) for noun in nouns if noun.casefold() not in same]
    words = tuple(Word(name, (name,)) for name in (text, *dict.fromkeys(others)))
    return replace(vocabulary, words=words, excluded=(), background_index=None)


class _Nouns:
    """Collects nouns, each once."""

    def __init__(
        self, vocabulary: Vocabulary, phrases: set[str], excluded: set[str], known: frozenset[str]
    ) -> None:
        self._asked = vocabulary
        self._known = known
        index = vocabulary.background_index
        self._background = None if index is None else vocabulary.words[index].name
        self._words = [word for word in vocabulary.words if word.name not in phrases]
        self._excluded = tuple(word for word in vocabulary.excluded if word.name not in excluded)
        self._taken = {
            phrase.casefold(): k
            for k, word in enumerate(self._words)
            for phrase in (word.name, *word.synonyms)
        }
        self.classes: dict[str, int] = {}

    def add(self, phrase: Phrase, text: str | None) -> None:
        """Take the nouns of a phrase. text: the phrase, where it is a synonym of its noun."""
        for noun in phrase.nouns():
            if noun == EVERYTHING or noun in self.classes:
                continue
            self.classes[noun] = self._class_of(noun)
        if text is not None and phrase.head in self.classes:
            k = self.classes[phrase.head]
            if text.casefold() not in self._taken:
                self._taken[text.casefold()] = k
                word = self._words[k]
                self._words[k] = replace(word, synonyms=(*word.synonyms, text))

    def _class_of(self, noun: str) -> int:
        name = noun
        if is_plural(noun) and noun.casefold() not in self._known:
            name = singular(noun)
        for text in (noun, name):
            if text.casefold() in self._taken:
                return self._taken[text.casefold()]
        synonyms = [name]
        sides = [f"{side} {name}".casefold() for side in ("left", "right")]
        if name.casefold() not in self._known and {*sides} <= {*self._known}:
            synonyms += sides  # of eyes, ears and brows the sides alone are known
        synonyms = [one for one in synonyms if one.casefold() not in self._taken]
        self._words.append(Word(name, tuple(synonyms)))
        self._taken |= {one.casefold(): len(self._words) - 1 for one in synonyms}
        return len(self._words) - 1

    def vocabulary(self) -> Vocabulary:
        names = [word.name for word in self._words]
        index = None if self._background is None else names.index(self._background)
        return replace(
            self._asked, words=tuple(self._words), excluded=self._excluded, background_index=index
        )


def _phrases_of(word: Word, known: frozenset[str]) -> tuple[Phrase, ...]:
    """The noun phrases of a word and its synonyms; none where all of them are nouns as they are."""
    if not any(" " in text for text in word.synonyms):
        return ()
    read = [read_phrase(text, known) for text in word.synonyms]
    if all(_is_noun(phrase, text) for phrase, text in zip(read, word.synonyms, strict=True)):
        return ()
    return tuple(term for phrase in read for term in phrase.terms)


def _is_noun(phrase: Phrase, text: str) -> bool:
    """Whether a phrase says no more than its noun, and that is the text."""
    plain = " ".join(text.replace('"', " ").split())
    return phrase == Phrase(phrase.head) and phrase.head.casefold() == plain.casefold()


def _is_visible(phrase: Phrase, whole: Collection[str]) -> bool:
    return any(kind in whole for kind in _kinds(phrase))


def _kinds(phrase: Phrase) -> Iterator[str]:
    yield from (attribute.kind for attribute in phrase.attributes)
    yield from ("relation" for _ in phrase.relations)
