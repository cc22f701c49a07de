"""Points, boxes and examples as people write them: "320,200", "mug=cup.jpg:40,60,200,180"."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lexiseg.errors import PictureError, PromptError
from lexiseg.prompts.examples import Example, Like
from lexiseg.prompts.vocabulary import clean

__all__ = ["example_files", "read_numbers", "read_prompts", "to_path"]

_NUMBER = r"-?\d+(?:\.\d+)?"
_FORM = re.compile(
    rf"(?:(?P<name>[^=/\\]+)=)?(?P<path>.+?)(?::(?P<box>{_NUMBER}(?:,{_NUMBER}){{3}}))?"
)


def to_path(text: str) -> Path:
    """Return a path as it was typed, its "~" spelled out: shells do so only where it begins."""
    return Path(text if os.path.lexists(text) else os.path.expanduser(text))


def read_numbers(text: str, count: int, what: str) -> list[float]:
    """Return the numbers of a point (count 2) or a box (4); raises PromptError for anything else.

    what: the flag or column, for the message.
    """
    try:
        out = [float(part) for part in re.split(r"\s*[,;]\s*|\s+", text.strip(" ()[]"))]
    except ValueError:
        out = []
    if len(out) != count:
        form = "X,Y" if count == 2 else "X0,Y0,X1,Y1"
        raise PromptError(f"{what} takes {form}, pixels of the picture; got {text!r}")
    return out


def example_files(given: Iterable[str]) -> list[str]:
    """Return the files that examples name: a run may write over none of them."""
    named = (_FORM.fullmatch(text) for text in given)
    return [str(to_path(match["path"])) for match in named if match is not None]


def read_prompts(words: Sequence[str], given: Sequence[str]) -> list[str | Like]:
    """Return the words, of which those with examples are mixed, and the other examples behind them.

    given: texts "[WORD=]FILE[:X0,Y0,X1,Y1]".
    Raises PictureError for a file that is not there, PromptError for an empty word.
    """
    examples: dict[str, tuple[str, list[Example]]] = {}
    for text in given:
        match = _FORM.fullmatch(text)
        if match is None or not text.strip():
            raise PromptError(f"--like takes FILE, FILE:x0,y0,x1,y1 or WORD=FILE, got {text!r}")
        path = to_path(match["path"])
        if not path.is_file():
            raise PictureError(f"--like names {str(path)!r}, which is not a file; give a picture")
        box = None
        if match["box"]:
            x0, y0, x1, y1 = (float(part) for part in match["box"].split(","))
            box = (x0, y0, x1, y1)
        name = clean(match["name"] or "") or Like.of(path).title
        _, several = examples.setdefault(name.casefold(), (name, []))
        several.append(Example(path, box))
    out: list[str | Like] = []
    for word in words:
        _, own = examples.pop(clean(word.partition("|")[0]).casefold(), ("", None))
        out.append(word if own is None else Like(tuple(own), words=word))
    return [*out, *(Like(tuple(own), name=name) for name, own in examples.values())]
