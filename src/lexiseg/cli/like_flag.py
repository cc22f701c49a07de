"""Example pictures on the command line: ``--like dog=example.jpg:10,20,200,150``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lexiseg.cli.parser import Parser
from lexiseg.errors import PictureError, PromptError
from lexiseg.prompts import Example, Like

__all__ = ["add_flags", "prompts"]

_NUMBER = r"\d+(?:\.\d+)?"
_FORM = re.compile(
    rf"(?:(?P<name>[^=/\\]+)=)?(?P<path>.+?)(?::(?P<box>{_NUMBER}(?:,{_NUMBER}){{3}}))?"
)


def add_flags(parser: Parser) -> None:
    """Add --like."""
    parser.add_argument(
        "--like",
        metavar="[WORD=]FILE[:X,Y,W,H]",
        action="append",
        default=[],
        help="what an example picture shows, or its box; of one WORD, examples are averaged, and "
        "mixed with the word where it is asked for too; may be repeated",
    )


def prompts(words: Sequence[str], given: Sequence[str]) -> list[str | Like]:
    """Return the words, of which those with examples are mixed, and the other examples behind them.

    Raises PictureError for a file that is not there, PromptError for an empty word.
    """
    examples: dict[str, list[Example]] = {}
    for text in given:
        match = _FORM.fullmatch(text)
        if match is None or not text.strip():
            raise PromptError(f"--like takes FILE, FILE:x,y,w,h or WORD=FILE, got {text!r}")
        path = Path(match["path"])
        name = (match["name"] or f"like {path.name}").strip()
        if not path.is_file():
            raise PictureError(f"--like names {str(path)!r}, which is not a file; give a picture")
        box = None
        if match["box"]:
            x, y, width, height = (float(part) for part in match["box"].split(","))
            box = (x, y, width, height)
        examples.setdefault(name, []).append(Example(path, box))
    out: list[str | Like] = []
    for word in words:
        own = examples.pop(word.partition("|")[0].strip(), None)
        out.append(word if own is None else Like(tuple(own), words=word))
    return [*out, *(Like(tuple(own), name=name) for name, own in examples.items())]
