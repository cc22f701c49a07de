"""Everything that lexiseg raises on purpose, with the exit code that the command gives it.

    LexisegError                    2
    ├── InputError                  2   what was handed in
    │   ├── PictureError            2   a picture that cannot be used
    │   ├── PromptError             2   words, points or boxes that cannot be used
    │   │   └── WordNotAsked        2   (also a KeyError) a result is asked about another word
    │   ├── OptionError             2   an option or field with a wrong value
    │   │   └── UnknownName         2   a name that no method, model, preset or field has
    │   └── OutputError             2   a place that cannot be written
    │       └── DiskFull            2   no room is left there
    ├── NothingFound                3   no picture holds any of the words (the command only)
    ├── MissingError                4   something must be installed or downloaded first
    │   ├── WeightsMissing          4
    │   └── ExtraMissing            4
    ├── CheckpointError             4   weights that are damaged or do not fit
    └── ServerError                 2   a server that does not answer, or refuses (the client only)

A message is one line, and says what is wrong, what was given, and what to do about it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import ClassVar

__all__ = [
    "CheckpointError",
    "DiskFull",
    "ExtraMissing",
    "InputError",
    "LexisegError",
    "MissingError",
    "NothingFound",
    "OptionError",
    "OutputError",
    "PictureError",
    "PromptError",
    "ServerError",
    "UnknownName",
    "WeightsMissing",
    "WordNotAsked",
    "closest",
    "did_you_mean",
    "error_line",
]


class LexisegError(Exception):
    """The root of the tree; catch it to catch everything that lexiseg raises on purpose."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        # File names and library messages may hold line breaks; a message stays one line.
        super().__init__(" ".join(message.splitlines()))

    def __str__(self) -> str:
        # Stated here so that a subclass that is a KeyError too does not print a repr.
        return str(self.args[0])


class InputError(LexisegError):
    """What was handed in cannot be used."""


class PictureError(InputError):
    """A picture is missing, damaged, too large, or of a kind that is not read."""


class PromptError(InputError):
    """Words, points or boxes cannot be used."""


class WordNotAsked(PromptError, KeyError):
    """A result is asked about a word that was not in its vocabulary."""


class OptionError(InputError):
    """An option, or a field of a Config, has a value that it cannot have."""


class UnknownName(OptionError):
    """A name that nothing has; build it with `UnknownName.among`."""

    @classmethod
    def among(cls, kind: str, name: str, choices: Iterable[str]) -> UnknownName:
        """Return the error for `name`, with the nearest choices, or all where none is near.

        kind: what was looked for, as in "method" or "field of Config".
        """
        known = sorted(choices)
        hint = did_you_mean(name, known)
        if not hint:
            hint = f"choose one of: {', '.join(known)}" if known else "there is none to choose"
        return cls(f"no {kind} is named {name!r}; {hint}")


class OutputError(InputError):
    """A file or folder cannot be written."""


class DiskFull(OutputError):
    """No room is left on the disk, or in the user's part of it: whatever follows fails too."""


class NothingFound(LexisegError):
    """No picture holds any of the words; raised by the command only, never by a method."""

    exit_code = 3


class MissingError(LexisegError):
    """Something must be installed or downloaded first; the message holds the command."""

    exit_code = 4


class WeightsMissing(MissingError):
    """The weights of a checkpoint are not on this machine."""


class ExtraMissing(MissingError):
    """An optional dependency is not installed."""


class CheckpointError(LexisegError):
    """Weights are damaged, incomplete, or do not fit the model."""

    exit_code = 4


class ServerError(LexisegError):
    """A server cannot be reached, refuses, or answers something else than lexiseg does.

    status: of HTTP, 0 where no answer came. retry_after: seconds, where the server is busy.
    """

    def __init__(self, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def closest(name: str, choices: Iterable[str], *, limit: int = 3) -> tuple[str, ...]:
    """Return at most `limit` choices that look like `name`, best first; case is ignored.

    A choice is near when at least 60 % of its letters agree in order, or when one of the two
    names starts with the other (three letters or more).
    """
    wanted = name.casefold()
    ranked: list[tuple[float, str]] = []
    for choice in sorted(set(choices)):
        other = choice.casefold()
        alike = SequenceMatcher(None, wanted, other).ratio()
        if min(len(wanted), len(other)) >= 3 and (
            other.startswith(wanted) or wanted.startswith(other)
        ):
            alike = max(alike, 0.9)
        if alike >= 0.6:
            ranked.append((-alike, choice))
    return tuple(choice for _, choice in sorted(ranked)[:limit])


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return "did you mean 'a' or 'b'?", or an empty string where nothing is near."""
    near = [repr(choice) for choice in closest(name, choices)]
    if not near:
        return ""
    head = ", ".join(near[:-1])
    return f"did you mean {head} or {near[-1]}?" if head else f"did you mean {near[0]}?"


def error_line(error: BaseException) -> str:
    """Return what an error says, on one line; of those that are no LexisegError, whose fault it is.

    With LEXISEG_DEBUG=1 in the environment its traceback is printed, too.
    """
    if os.environ.get("LEXISEG_DEBUG", "") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, LexisegError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; use smaller pictures, fewer words, or another machine"
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"a fault in lexiseg, not in what you asked ({what}); "
        "run again with LEXISEG_DEBUG=1 and report what it prints"
    )
