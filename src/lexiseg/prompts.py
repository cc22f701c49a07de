"""What a user asks for, made exact: words with synonyms, excluded words, background words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lexiseg._templates import EIGHTY, SEVEN
from lexiseg.errors import PromptError

__all__ = ["DEFAULT_BACKGROUND", "TEMPLATES", "Query", "Vocabulary", "Word"]

# What is nearly always around the thing that is asked for. A list of one's own replaces it.
DEFAULT_BACKGROUND = (
    "background", "sky", "cloud", "wall", "floor", "ceiling", "ground", "grass", "tree", "plant",
    "building", "house", "road", "pavement", "water", "sea", "sand", "mountain", "rock", "snow",
    "fence", "window", "door", "curtain", "carpet", "furniture",
)  # fmt: skip

# Sentences around a word; its vector is the mean over them.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "plain": ("{}",),
    "photo": ("{}", "a photo of a {}", "a photo of the {}"),
    "imagenet-7": SEVEN,
    "imagenet-80": EIGHTY,
}

_LONGEST = 200
_BACKGROUND = "background"


@dataclass(frozen=True)
class Word:
    """One word of a vocabulary: the name in results, and every phrase that stands for it."""

    name: str
    synonyms: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """A phrase for the text encoder, and whose it is (see ``Vocabulary.queries``)."""

    text: str
    owner: int


@dataclass(frozen=True)
class Vocabulary:
    """K words that compete for the picture, with what takes the rest.

    excluded: words whose pixels are given away. background: words that stand for everything
    else, or None for a closed vocabulary, in which every pixel gets a word. background_index: the
    place of the literal word "background" among the words, if it was asked for.
    """

    words: tuple[Word, ...]
    excluded: tuple[Word, ...] = ()
    background: tuple[str, ...] | None = DEFAULT_BACKGROUND
    background_index: int | None = None

    @classmethod
    def parse(
        cls,
        words: str | Sequence[str],
        *,
        background: str | Sequence[str] | None = "default",
        default_background: Sequence[str] = DEFAULT_BACKGROUND,
    ) -> Vocabulary:
        """Read what a user wrote.

        words: a list, or one text with ";" between words. ``"sofa|couch"`` is one word with a
        synonym, named by its first phrase; ``"person -helmet"`` excludes helmets.
        background: "default" (``default_background``), words of one's own, or None for none.
        Raises PromptError for no word, an empty or absurd one, and one that is asked twice.
        """
        listed = words.split(";") if isinstance(words, str) else list(words)
        if isinstance(words, str) and listed and not listed[-1].strip():
            listed = listed[:-1] or [""]
        asked: list[Word] = []
        excluded: list[Word] = []
        for entry in listed:
            if not isinstance(entry, str):
                raise PromptError(f"a word is {entry!r}; give text")
            wanted, *unwanted = re.split(r"(?:^|\s+)-(?=\S)", entry.strip())
            if wanted.strip() or not unwanted:
                asked.append(_word(wanted, entry))
            excluded += [_word(part, entry) for part in unwanted]
        if not asked:
            got = (
                f"only excluded ones ({', '.join(w.name for w in excluded)})"
                if excluded
                else "none"
            )
            raise PromptError(f"give at least one word to look for; there were {got}")
        _refuse_repeats([*asked, *excluded])
        rest = _background(background, default_background)
        literal = [i for i, w in enumerate(asked) if w.name.casefold() == _BACKGROUND]
        if literal and rest is None:
            rest = tuple(default_background)
        return cls(tuple(asked), tuple(excluded), rest, literal[0] if literal else None)

    @property
    def names(self) -> tuple[str, ...]:
        """The words' names, in order."""
        return tuple(word.name for word in self.words)

    @property
    def owners(self) -> int:
        """How many owners queries have: words, then excluded words, then the background."""
        rest = self.background is not None and self.background_index is None
        return len(self.words) + len(self.excluded) + int(rest)

    @property
    def background_owner(self) -> int | None:
        """The owner of the background words; None in a closed vocabulary."""
        if self.background is None:
            return None
        return self.owners - 1 if self.background_index is None else self.background_index

    def queries(self) -> tuple[Query, ...]:
        """Every phrase with its owner: 0..K-1 the words, K.. the excluded, last the background.

        The literal word "background" owns the background words. A background word that is also
        asked for, or excluded, steps back.
        """
        out = [
            Query(phrase, i)
            for i, word in enumerate([*self.words, *self.excluded])
            if i != self.background_index
            for phrase in word.synonyms
        ]
        if self.background is not None and self.background_owner is not None:
            taken = {query.text.casefold() for query in out}
            out += [
                Query(phrase, self.background_owner)
                for phrase in self.background
                if phrase.casefold() not in taken
            ]
        return tuple(out)


def _word(text: str, entry: str) -> Word:
    phrases = tuple(dict.fromkeys(" ".join(part.split()) for part in text.split("|")))
    for phrase in phrases:
        if not phrase:
            raise PromptError(f"the word {entry!r} is empty, or a part of it is; write a name")
        if len(phrase) > _LONGEST:
            raise PromptError(
                f"a word has {len(phrase)} letters ({phrase[:30]!r}...); give at most {_LONGEST}"
            )
        if not any(c.isalnum() for c in phrase):
            raise PromptError(f"the word {phrase!r} holds no letter or digit; write a name")
    return Word(phrases[0], phrases)


def _refuse_repeats(words: Sequence[Word]) -> None:
    seen: set[str] = set()
    for word in words:
        if word.name.casefold() in seen:
            raise PromptError(f"the word {word.name!r} is given twice; give each word once")
        seen.add(word.name.casefold())


def _background(
    given: str | Sequence[str] | None, default: Sequence[str]
) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str):
        if given == "default":
            return tuple(default)
        given = given.split(";")
    words = tuple(_word(phrase, phrase).name for phrase in given)
    if not words:
        raise PromptError('the background has no words; give some, or None ("none") for none')
    return words
