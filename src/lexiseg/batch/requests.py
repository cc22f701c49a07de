"""What is asked of each picture: words, clicks, examples and edits, from a row or for all alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from lexiseg.batch.tables import Row, texts_of
from lexiseg.edit.steps import EditStep, competing_words, read_steps
from lexiseg.errors import PromptError
from lexiseg.prompts import Clicks, Vocabulary, split_words
from lexiseg.prompts.written import example_files, read_numbers, read_prompts

__all__ = ["Defaults", "Request", "make_request"]

_AUTOMATIC = ("@auto", "@known")


@dataclass(frozen=True)
class Defaults:
    """What is asked of every picture whose row says nothing else.

    words: as they were typed, none for those that a picture shows. background: "default", words of
    one's own, or None for a closed vocabulary. like: examples, "[WORD=]FILE[:X0,Y0,X1,Y1]".
    operation: edits as `lexiseg edit` takes them, such as "blur face --radius 8"; or none.
    """

    words: tuple[str, ...] = ()
    background: str | tuple[str, ...] | None = "default"
    like: tuple[str, ...] = ()
    operation: str | None = None


@dataclass(frozen=True)
class Request:
    """What is asked of one picture. words: those of the edits too, as all compete."""

    words: tuple[str, ...]
    background: str | tuple[str, ...] | None
    like: tuple[str, ...]
    clicks: Clicks
    steps: tuple[EditStep, ...] = ()

    def vocabulary(self, config: Any) -> Vocabulary | str | None:
        """Return the words as the segmenter takes them: "@auto" for those that a picture shows,
        None where clicks alone ask. config: the method's, for what competes by default.

        Raises PromptError, PictureError for an example that is not there, UnknownName.
        """
        if len(self.words) == 1 and self.words[0] in _AUTOMATIC:
            return self.words[0]
        if not self.words and not self.like:
            return None if self.clicks.names else _AUTOMATIC[0]
        flat = bool(getattr(config, "flat", False))
        competing = getattr(config, "background", None)
        return _parse(self.words, self.like, self.background, competing, flat)

    @property
    def files(self) -> list[str]:
        """The files that it names: a run may write over none of them."""
        named = [value for step in self.steps for value in vars(step.config).values()]
        files = [str(one) for one in named if isinstance(one, str | os.PathLike)]
        return [*example_files(self.like), *(name for name in files if os.path.isfile(name))]

    @property
    def identity(self) -> list[Any]:
        """What tells it from other requests, as JSON values."""
        return [
            self.words, self.background, self.like, self.clicks.arguments, repr(self.steps),
        ]  # fmt: skip


def make_request(row: Row | None, defaults: Defaults) -> Request:
    """Return what a row asks, or, without one, what is asked of all.

    Raises PromptError, OptionError, UnknownName for what is not understood.
    """
    given: dict[str, Any] = {} if row is None else dict(row.given)
    words = _words(given["words"]) if "words" in given else defaults.words
    background = _background(given["background"]) if "background" in given else defaults.background
    like = tuple(_list(given["like"])) if "like" in given else defaults.like
    clicks = Clicks.parse(
        _places(given.get("points"), 2, "points"),
        _places(given.get("boxes"), 4, "boxes"),
        _places(given.get("not_points"), 2, "not_points"),
    )
    request = Request(words, background, like, clicks)
    operation = given.get("operation", defaults.operation)
    if operation is None:
        return request
    named = [] if len(words) == 1 and words[0].startswith("@") else words
    steps = read_steps(str(operation), {} if row is None else row.options, named)
    return replace(request, words=tuple(competing_words(steps, words)), steps=tuple(steps))


@lru_cache(maxsize=256)
def _parse(
    words: tuple[str, ...],
    like: tuple[str, ...],
    background: str | tuple[str, ...] | None,
    competing: tuple[str, ...] | None,
    flat: bool,
) -> Vocabulary:
    given = {} if competing is None else {"default_background": competing}
    return Vocabulary.parse(read_prompts(words, like), background=background, flat=flat, **given)


def _words(cell: Any) -> tuple[str, ...]:
    if isinstance(cell, list | tuple):
        return tuple(texts_of(cell))
    text = str(cell).strip()
    return (text,) if text.startswith("@") else tuple(split_words(text))


def _background(cell: Any) -> str | tuple[str, ...] | None:
    if isinstance(cell, str) and cell.strip() in ("default", "none"):
        return None if cell.strip() == "none" else "default"
    return _words(cell)


def _list(cell: Any) -> list[str]:
    if isinstance(cell, list | tuple):
        return texts_of(cell)
    return [part.strip() for part in str(cell).split(";") if part.strip()]


def _places(cell: Any, count: int, column: str) -> list[Sequence[float]]:
    """Points or boxes of a cell: "320,200; 10,20", or lists of numbers, or one list."""
    if cell is None:
        return []
    if not isinstance(cell, list | tuple):
        return [read_numbers(part, count, column) for part in _list(cell)]
    several = cell if all(isinstance(one, list | tuple | str) for one in cell) else [cell]
    out: list[Sequence[float]] = []
    for one in several:
        if isinstance(one, str):
            out.append(read_numbers(one, count, column))
            continue
        if len(one) != count or not all(isinstance(v, int | float) for v in one):
            form = "X,Y" if count == 2 else "X0,Y0,X1,Y1"
            raise PromptError(f"{column} takes {form}, pixels of the picture; got {one!r}")
        out.append(one)
    return out
