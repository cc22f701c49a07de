"""The steps of `lexiseg edit`: joined by "+", each with its flags and words."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterable, Sequence

from lexiseg.cli import inputs
from lexiseg.cli.terminal import Parser
from lexiseg.edit.steps import (
    FLAGS,
    SWITCHES,
    EditStep,
    check_order,
    competing_words,
    make_step,
)
from lexiseg.errors import OptionError, PictureError, PromptError

__all__ = ["add_step_flags", "all_words", "common_flags", "read_steps", "split", "with_files"]


def add_step_flags(parser: Parser) -> None:
    """Add the flags that set one step; those after a "+" belong to the next."""
    group = parser.add_argument_group("the edit")
    group.add_argument(
        "--with", dest="with_", metavar="WHAT", help="a picture's file, a colour, or a style"
    )
    for name, (metavar, what) in FLAGS.items():
        group.add_argument(f"--{name}", metavar=metavar, help=what)
    for name, (_, _, what) in SWITCHES.items():
        group.add_argument(f"--{name}", action="store_true", help=what)


def split(argv: list[str]) -> list[list[str]]:
    """Split the arguments at "+"."""
    parts: list[list[str]] = [[]]
    for item in argv:
        if item == "+":
            parts.append([])
        else:
            parts[-1].append(item)
    if len(parts) > 1 and not all(parts):
        raise OptionError(
            '"+" joins two edits, as in: lexiseg edit photo.jpg remove dog + blur cat'
        )
    return parts


def common_flags(given: Sequence[argparse.Namespace]) -> argparse.Namespace:
    """Return the flags that belong to the whole call, wherever among the steps they stand."""
    of_steps = {"items", "with_", *FLAGS, *map(_attribute, SWITCHES)}
    out = argparse.Namespace()
    for name in vars(given[0]):
        if name in of_steps:
            continue
        values = [getattr(one, name) for one in given]
        set_values = [value for value in values if value not in (None, False, [])]
        if set_values and isinstance(set_values[0], list):
            setattr(out, name, [one for several in set_values for one in several])
            continue
        if any(value != set_values[0] for value in set_values):
            raise OptionError(f"--{name.replace('_', '-')} is given twice; it holds for all steps")
        setattr(out, name, set_values[0] if set_values else values[0])
    return out


def read_steps(given: Sequence[argparse.Namespace]) -> tuple[list[str], list[EditStep]]:
    """Return the pictures and what to do with them; raises InputError for what is not understood.

    The first item is a picture, and so are those up to the name of an operation.
    """
    from lexiseg import edit

    if not given[0].items:
        raise PictureError("no picture is given: lexiseg edit PICTURE... OPERATION WORD...")
    count = _count_pictures(given[0].items)
    names = list(given[0].items[:count])
    steps = []
    for number, one in enumerate(given):
        items = one.items[count:] if number == 0 else one.items
        if not items:
            known = ", ".join(edit.operation_names())
            raise OptionError(f"no operation is given; after the picture comes one of: {known}")
        edit.operation(items[0])  # raises UnknownName
        if len(items) < 2:
            line = shlex.join(["lexiseg", "edit", *names[:3], items[0]])
            raise PromptError(f"no words to look for: {line} WORD...")
        steps.append(_step(items[0], inputs.words(items[1:]), one))
    check_order(steps)
    return names, steps


def with_files(given: Iterable[argparse.Namespace]) -> list[str]:
    """Return the files that --with names: a run may write over none of them."""
    return [one.with_ for one in given if one.with_ is not None and os.path.isfile(one.with_)]


def all_words(steps: Iterable[EditStep], others: str | None) -> list[str]:
    """Return the words of all steps and those that only compete, as they were typed, each once.

    others: words, or the vocabulary of a data set: "@voc20".
    """
    return competing_words(steps, inputs.words([others]) if others is not None else [])


def _count_pictures(items: Sequence[str]) -> int:
    """How many of the items are pictures; where no operation is named, one may be misspelt."""
    from lexiseg import edit

    known = edit.operation_names()
    for number, item in enumerate(items[1:], start=1):
        if item in known:
            return number
    for number, item in enumerate(items[1:], start=1):
        if not (inputs.is_picture(item) or os.path.lexists(item)):
            return number
    return len(items)


def _step(operation: str, texts: list[str], args: argparse.Namespace) -> EditStep:
    names = {"with": args.with_, **{name: getattr(args, name) for name in FLAGS}}
    options = {name: text for name, text in names.items() if text is not None}
    switches = {name: True for name in SWITCHES if getattr(args, _attribute(name))}
    return make_step(operation, texts, {**options, **switches})


def _attribute(flag: str) -> str:
    """Where argparse keeps a flag."""
    return flag.replace("-", "_")
