"""Which pictures and which words a command line names."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from lexiseg import imaging
from lexiseg.errors import PictureError, PromptError
from lexiseg.prompts import split_words
from lexiseg.prompts.written import to_path

__all__ = ["is_picture", "read_vocabulary", "split", "to_path", "word_files", "words"]

_LONGEST_LIST = 1 << 20  # bytes


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
        (files if is_picture(item) else others).append(item)
    if files and not is_picture(first) and not Path(first).exists():
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


def read_vocabulary(given: str | None, asked: str | None) -> tuple[str | None, str | None]:
    """Return what `--vocabulary` says: "@auto" or "@known", or words as `--words` has them.

    asked: what `--words` says. Raises PromptError where both are given, or for a list that is none.
    """
    if given is None:
        return None, asked
    if asked is not None:
        raise PromptError("--words and --vocabulary both give words; give one of the two")
    name = given.strip()
    if name.removeprefix("@") in ("auto", "known") and not os.path.isfile(name):
        return f"@{name.removeprefix('@')}", None
    if name.startswith("@"):
        return None, name
    if not os.path.isfile(os.path.expanduser(name)):
        raise PromptError(
            f"--vocabulary {given!r} is no file; give a file of words, @ade20k or another data "
            "set, @known, or auto"
        )
    return None, f"@{name}"


def words(texts: Sequence[str]) -> list[str]:
    """Return the words of texts, each of which may be a list, or "@FILE" for a file of words.

    A file holds a list as one may type it, best a word a line; lines that begin with "#" are none.
    Raises PromptError for a file that cannot be read.
    """
    out = []
    for text in texts:
        path = _word_file(text)
        out += split_words(text if path is None else _read_words(path))
    return out


def word_files(texts: Iterable[str | None]) -> list[str]:
    """Return the files of words that texts name: a run may write over none of them."""
    return [path for text in texts if text is not None and (path := _word_file(text)) is not None]


def _word_file(text: str) -> str | None:
    """The path of "@FILE", where there is such a file; else it may be a data set's vocabulary."""
    name = text.strip()
    path = os.path.expanduser(name[1:])
    return path if name.startswith("@") and os.path.isfile(path) else None


def _read_words(path: str) -> str:
    try:
        if os.path.getsize(path) > _LONGEST_LIST:
            raise PromptError(f"the file of words {path!r} is longer than 1 MB; give a list")
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise PromptError(
            f"the file of words {path!r} cannot be read ({error}); save it as UTF-8 text"
        ) from error
    return "\n".join(line for line in lines if not line.startswith("#"))


def is_picture(text: str) -> bool:
    """Return whether an item of the command line looks like a picture, a folder, or a pattern."""
    path = Path(text)
    if path.suffix.lower() in imaging.SUFFIXES:
        return True
    return ("/" in text or "\\" in text) and path.exists()
