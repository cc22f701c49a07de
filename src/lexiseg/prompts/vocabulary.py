"""What a user asks for, made exact: words with synonyms, excluded words, background words.

Words are read as people type and paste them: several in one text, quotes, invisible signs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lexiseg.errors import PromptError
from lexiseg.prompts import named
from lexiseg.prompts.examples import Example, Like

__all__ = ["DEFAULT_BACKGROUND", "Query", "Vocabulary", "Word", "clean", "find_word", "split_words"]


# Commas and semicolons of several scripts. A full stop only where it is one: see `split_words`.
_SEPARATORS = ",;、。،؛"
_QUOTED = re.compile(
    rf"(?<![^\s{_SEPARATORS}|-])"  # a quotation begins a word: 12" is no quotation
    r'(?:"([^"\n]*)"|“([^”\n]*)”|„([^“”\n]*)[“”]|«([^»\n]*)»)'
    rf"(?=$|[\s{_SEPARATORS}|.])"
)
_BULLET = re.compile(r"^([-*•]|\d{1,3}[.)])\s+(?=\S)")
_JOINERS = "\u200c\u200d"  # letters, in scripts whose letters join
_FIRST_JOINING = "\u0600"


def clean(text: str) -> str:
    """Return a text without what cannot be seen: NFKC, single spaces, no format characters.

    So words that look the same are the same, pasted or typed, composed or decomposed.
    """
    return " ".join(_visible(text).split())


def split_words(text: str) -> list[str]:
    """Return the words of one text: a list by commas, semicolons, line breaks, or full stops.

    Between full stops as Grounding DINO has them: "dog . grass ." or "a dog. a cat."; other full
    stops, as in "St. Bernard", are a part of the word. What stands in quotation marks is one word,
    commas and all. A separator at the end is no word; one too many elsewhere gives an empty one,
    and so does a text without any.
    """
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(next(part for part in match.groups() if part is not None))
        return f"\0{len(kept) - 1}\0"  # no text holds \0: it is a control character

    words: list[str] = []
    for line in _QUOTED.sub(keep, _visible(text)).splitlines():
        line = _BULLET.sub("", line.strip()).rstrip(f"{_SEPARATORS} ")
        if line:
            words += [" ".join(word.split()) for word in _of_line(line)]
    words = words or [""]
    return [re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], word) for word in words]


def find_word(text: str, words: Iterable[str]) -> str | None:
    """Return the word that a text means, whatever its case and spaces; None where there is none."""
    wanted = clean(text).casefold()
    return next((word for word in words if clean(word).casefold() == wanted), None)


def _of_line(line: str) -> list[str]:
    stops = r"\s\.(?:\s|$)"
    if line.endswith("."):
        line = line[:-1].rstrip()
        if not re.search(f"[{_SEPARATORS}]", line):
            stops = r"\.\s"
    return re.split(rf"[{_SEPARATORS}]|{stops}", line)


def _visible(text: str) -> str:
    """A text without format and control characters; line breaks stay."""
    try:  # arguments in an encoding that this process does not know
        text = text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeDecodeError as error:
        raise PromptError(
            f"the word {text!r} is not in UTF-8; set the terminal to UTF-8, or write it anew"
        ) from error
    text = unicodedata.normalize("NFKC", text)
    out: list[str] = []
    for sign in text:
        joins = sign in _JOINERS and out and out[-1] >= _FIRST_JOINING
        if joins or sign.isspace() or unicodedata.category(sign) not in ("Cf", "Cc"):
            out.append(sign)
    return "".join(out)


# What is nearly always around the thing that is asked for. A list of one's own replaces it.
DEFAULT_BACKGROUND = (
    "background", "sky", "cloud", "wall", "floor", "ceiling", "ground", "grass", "tree", "plant",
    "building", "house", "road", "pavement", "water", "sea", "sand", "mountain", "rock", "snow",
    "fence", "window", "door", "curtain", "carpet", "furniture",
)  # fmt: skip

_LONGEST = 200
_BACKGROUND = "background"
_MINUS = re.compile(r"(?:^|\s+)[-−–—](?=\S)")  # the dashes are what programs make of a minus
_NAMED = "@"  # before the name of a vocabulary


@dataclass(frozen=True)
class Word:
    """One word of a vocabulary: the name in results, and every phrase that stands for it.

    examples: pictures that stand for it too; a word may be examples alone, without a phrase.
    weight: of the phrases where there are both, None: what the method takes.
    """

    name: str
    synonyms: tuple[str, ...]
    examples: tuple[Example, ...] = ()
    weight: float | None = None


@dataclass(frozen=True)
class Query:
    """A phrase for the text encoder, and the class it stands for (see ``Vocabulary.queries``)."""

    text: str
    class_id: int


@dataclass(frozen=True)
class Vocabulary:
    """K words that compete for the picture, with what takes the rest.

    excluded: words whose pixels are given away. background: words that stand for everything
    else, or None for a closed vocabulary, in which every pixel gets a word. background_index: the
    place of the literal word "background" among the words, if it was asked for. flat: all words
    compete, even parts and kinds of others; else "face" gets its own mask beside "person". phrases:
    words may be phrases; False where all are names, as those of a data set.
    """

    words: tuple[Word, ...]
    excluded: tuple[Word, ...] = ()
    background: tuple[str, ...] | None = DEFAULT_BACKGROUND
    background_index: int | None = None
    flat: bool = False
    phrases: bool = True

    @classmethod
    def parse(
        cls,
        words: str | Like | Sequence[str | Like],
        *,
        background: str | Sequence[str] | None = "default",
        default_background: Sequence[str] = DEFAULT_BACKGROUND,
        flat: bool = False,
    ) -> Vocabulary:
        """Read what a user wrote.

        words: a list of texts, a word each, and ``Like`` prompts; or one text with commas,
        semicolons, line breaks or full stops between words, see ``split_words``.
        ``"sofa|couch"`` is one word with a synonym, named by its first phrase;
        ``"person -helmet"`` excludes helmets; ``"@voc21"`` alone is the vocabulary of that name,
        see ``named``.
        background: "default" (``default_background``), words of one's own, or None for none.
        flat: whether parts and kinds of other words compete with them.
        Raises PromptError for no word, an empty or absurd one, one that is given twice, and a
        background without a word of its own.
        """
        entries = _prompts(words)
        texts = [entry for entry in entries if isinstance(entry, str)]
        if any(text.lstrip().startswith(_NAMED) for text in texts):
            return cls._of_name(entries, background)
        asked: list[Word] = []
        excluded: dict[str, Word] = {}  # two words may exclude the same
        for entry in entries:
            if isinstance(entry, Like):
                phrases = () if entry.words is None else _word(entry.words, entry.words).synonyms
                name = clean(entry.title)
                asked.append(Word(_word(name, name).name, phrases, entry.examples, entry.weight))
                continue
            wanted, *unwanted = _MINUS.split(clean(entry))
            if wanted.strip() or not unwanted:
                asked.append(_word(wanted, entry))
            for word in (_word(part, entry) for part in unwanted):
                before = excluded.get(word.name.casefold(), word)
                both = _once([*before.synonyms, *word.synonyms])
                excluded[word.name.casefold()] = Word(before.name, both)
        if not asked:
            got = ", ".join(word.name for word in excluded.values())
            raise PromptError(
                "give at least one word to look for; there were "
                + (f"only excluded ones ({got})" if got else "none")
            )
        _refuse_repeats([*asked, *excluded.values()])
        places = [i for i, w in enumerate(asked) if w.name.casefold() == _BACKGROUND]
        literal = places[0] if places else None
        if background == "default" or (background is None and literal is not None):
            background = default_background
        rest = None if background is None else _background(background)
        if rest is not None and literal is not None:
            rest = _once([*asked[literal].synonyms[1:], *rest])
        vocabulary = cls(tuple(asked), tuple(excluded.values()), rest, literal, flat)
        if rest is not None and vocabulary.queries()[-1].class_id != vocabulary.background_class:
            raise PromptError(
                f"every background word ({', '.join(rest)}) is asked for or excluded too; give "
                'others, or None ("none") for a closed vocabulary'
            )
        return vocabulary

    @classmethod
    def named(cls, name: str) -> Vocabulary:
        """Return the classes of a data set as its papers ask for them, synonyms included.

        name: "voc20", "voc21", "context59", "context60", "coco-object", "coco-stuff164k",
            "cityscapes", "ade20k": SCLIP's and NACLIP's names; with ".clearclip", ".proxyclip" or
            ".trident" behind it those of another paper, where they differ. Sets with a background
            have it as their first word, "background"; the others are closed. All are flat, since
            a data set gives each pixel one class.
        Raises UnknownName. A background word that is a class as well (the "bed" of coco-object)
        steps back; in the papers it stands twice, and the background takes all of its pixels.
        """
        classes, has_rest = named.read(name.strip().casefold())
        words = tuple(Word(phrases[0], phrases) for phrases in classes)
        if not has_rest:
            return cls(words, (), None, flat=True, phrases=False)
        rest = Word(_BACKGROUND, (_BACKGROUND,))
        return cls((rest, *words[1:]), (), words[0].synonyms, 0, flat=True, phrases=False)

    @classmethod
    def _of_name(
        cls, entries: Sequence[str | Like], background: str | Sequence[str] | None
    ) -> Vocabulary:
        name = next(e for e in entries if isinstance(e, str) and e.lstrip().startswith(_NAMED))
        if len(entries) > 1:
            raise PromptError(
                f"the vocabulary {name.strip()!r} stands among {len(entries)} words; give it "
                "alone, or write the words out"
            )
        vocabulary = cls.named(name.strip().removeprefix(_NAMED))
        if background == "default" or background is None:
            return vocabulary
        if vocabulary.background is None:
            raise PromptError(
                f"the vocabulary {name.strip()!r} is closed, so it takes no background; "
                "leave the background out"
            )
        return replace(vocabulary, background=_background(background))

    @property
    def names(self) -> tuple[str, ...]:
        """The words' names, in order."""
        return tuple(word.name for word in self.words)

    @property
    def num_classes(self) -> int:
        """How many classes compete: words, then excluded words, then the background."""
        rest = self.background is not None and self.background_index is None
        return len(self.words) + len(self.excluded) + int(rest)

    @property
    def background_class(self) -> int | None:
        """The class of the background words; None in a closed vocabulary."""
        if self.background is None:
            return None
        return self.num_classes - 1 if self.background_index is None else self.background_index

    def queries(self) -> tuple[Query, ...]:
        """Every phrase with its class: 0..K-1 the words, K.. the excluded, last the background.

        The literal word "background" stands for the background words, its synonyms among them.
        A background word that is also asked for, or excluded, steps back.
        """
        out = [
            Query(phrase, i)
            for i, word in enumerate([*self.words, *self.excluded])
            if i != self.background_index
            for phrase in word.synonyms
        ]
        if self.background is not None and self.background_class is not None:
            taken = {query.text.casefold() for query in out}
            out += [
                Query(phrase, self.background_class)
                for phrase in self.background
                if phrase.casefold() not in taken
            ]
        return tuple(out)


def _prompts(words: str | Like | Sequence[str | Like]) -> list[str | Like]:
    """A user's list; of a list with pictures in it, the texts are checked by themselves."""
    if isinstance(words, Like):
        return [words]
    if isinstance(words, str) or not isinstance(words, Iterable):
        return [*_listed(words, "words")]
    given = list(words)
    texts = iter(_listed([w for w in given if not isinstance(w, Like)], "words"))
    return [w if isinstance(w, Like) else next(texts) for w in given]


def _listed(words: str | Sequence[str], what: str) -> list[str]:
    """A user's list as it is, or the words of one text."""
    if isinstance(words, str):
        return split_words(words)
    if not isinstance(words, Iterable):
        raise PromptError(f"the {what} are {words!r}; give a list of texts, or one text")
    out = list(words)
    for word in out:
        if not isinstance(word, str):
            raise PromptError(f"among the {what} is {word!r}; give text")
    return out


def _word(text: str, entry: str) -> Word:
    phrases = _once(clean(part) for part in text.split("|"))
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
    """A phrase of two words would score for both alike: which one wins would be chance."""
    first: dict[str, Word] = {}
    for word in words:
        for phrase in dict.fromkeys([word.name, *word.synonyms]):
            other = first.setdefault(phrase.casefold(), word)
            if other is word:
                continue
            if other.name.casefold() == word.name.casefold():
                raise PromptError(f"the word {word.name!r} is given twice; give each word once")
            raise PromptError(
                f"{phrase!r} stands for both {other.name!r} and {word.name!r}; give it to one"
            )


def _background(given: str | Sequence[str]) -> tuple[str, ...]:
    """The background's phrases, each once: their scores add up."""
    entries = _listed(given, "background words")
    if not entries:
        raise PromptError('the background has no words; give some, or None ("none") for none')
    return _once(phrase for entry in entries for phrase in _word(entry, entry).synonyms)


def _once(phrases: Iterable[str]) -> tuple[str, ...]:
    """The phrases in order without repeats, in their first spelling."""
    out: dict[str, str] = {}
    for phrase in phrases:
        out.setdefault(phrase.casefold(), phrase)
    return tuple(out.values())
