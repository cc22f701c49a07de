"""The real parsers of the command line, without running anything."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from unittest import mock

from lexiseg.cli import COMMANDS as _ALL
from lexiseg.cli.terminal import Parser

COMMANDS = tuple(_ALL)


class _Reached(BaseException):
    """Raised in place of the work, where a command has its arguments."""

    def __init__(self, parser: Parser, found: argparse.Namespace | None) -> None:
        self.parser = parser
        self.found = found


def parser(command: str) -> Parser:
    """Return the parser of a command."""

    def reached(self: Parser, args: list[str]) -> argparse.Namespace:
        raise _Reached(self, None)

    return _run(command, [], reached).parser


def parse(command: str, arguments: list[str]) -> argparse.Namespace:
    """Return what a command understands of its arguments; raises OptionError as it would."""
    understood = Parser.parse

    def reached(self: Parser, args: list[str]) -> argparse.Namespace:
        raise _Reached(self, understood(self, args))

    found = _run(command, arguments, reached).found
    if found is None:
        raise TypeError(f"lexiseg {command} gave no arguments")
    return found


def _run(command: str, arguments: list[str], reached: object) -> _Reached:
    run = import_module(f"lexiseg.cli.{command.replace('-', '_')}").run
    with mock.patch.object(Parser, "parse", reached):
        try:
            run(arguments)
        except _Reached as end:
            return end
    raise TypeError(f"lexiseg {command} reads no arguments")


def options(of: Parser) -> Iterator[tuple[str, argparse.Action]]:
    """Yield the group and action of every option and argument of a parser, in order, no help."""
    for group in of._action_groups:
        for action in group._group_actions:
            if action.dest != "help":
                yield group.title or "", action
