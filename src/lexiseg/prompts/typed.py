"""Words as people type and paste them: several in one text, quotes, invisible signs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from lexiseg.errors import PromptError

__all__ = ["clean", "find_word", "split_words"]

# Commas and semicolons of several scripts. A full stop only where it is one: see `split_words`.
_SEPARATORS = ",;、。،؛"
_QUOTED = re.compile(
    rf"(?<![^\s{_SEPARATORS}|-])"  # a quotation begins a word: 12" is no quotation
    r'(?:"([^"\n]*)"|“([^”\n]*)”|„([^“”\n]*)[“”]|«([^»\n]*)»)'
    rf"(?=$|[\s{_SEPARATORS}|.])"
)
_BULLET = re.compile(r"^[-*•]\s+")
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
