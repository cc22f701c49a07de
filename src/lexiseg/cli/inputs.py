"""Which pictures and which words a command line names."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from lexiseg import imaging
from lexiseg.errors import PictureError, PromptError

__all__ = ["split", "words"]


def split(
    items: Sequence[str], asked: str | None, *, wordless: bool = False
) -> tuple[list[str], list[str]]:
    """Return (pictures, words) of `PICTURE WORD...`, or of `PICTURE...` with `--words` asked.

    wordless: there may be no words, as where points say what is meant. Raises PromptError where a
    word looks like a picture, with the line that was meant.
    """
    if not items:
        raise PictureError("no picture is given: lexiseg segment PICTURE WORD...")
    if asked is not None:
        return list(items), words([asked])
    first, rest = items[0], list(items[1:])
    files: list[str] = []
    others: list[str] = []
    for item in rest:
        (files if _is_picture(item) else others).append(item)
    if files and not _is_picture(first) and not Path(first).exists():
        line = shlex.join(["lexiseg", "segment", files[0], first, *others])
        raise PromptError(f"the picture comes first, then the words; perhaps: {line}")
    if files:
        asked = "; ".join(others) or "sky; road"
        line = shlex.join(["lexiseg", "segment", "--words", asked, first, *files[:3]])
        line += " ..." if len(files) > 3 else ""
        raise PromptError(
            f"{files[0]!r} is a picture, not a word; for several pictures use --words: {line}"
        )
    if not rest and wordless:
        return [first], []
    if not rest:
        raise PromptError(f"no words to look for: lexiseg segment {shlex.quote(first)} WORD...")
    return [first], words(rest)


def words(texts: Sequence[str]) -> list[str]:
    """Return the words of texts that may hold several, with ";" between them."""
    out = []
    for text in texts:
        parts = text.split(";")
        if len(parts) > 1 and not parts[-1].strip():
            parts.pop()
        out += [part.strip() for part in parts]
    return out


def _is_picture(text: str) -> bool:
    path = Path(text)
    if path.suffix.lower() in imaging.SUFFIXES:
        return True
    return ("/" in text or "\\" in text) and path.exists()
