"""A parser of command lines whose errors are one line, with a hint."""

from __future__ import annotations

import argparse
from typing import NoReturn

from lexiseg.errors import OptionError, did_you_mean

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """argparse's parser: options in any place, no abbreviations, errors as OptionError.

    A flag that was not given is None: its default lives in the code that uses it, once.
    """

    def __init__(
        self, command: str, description: str, *, usage: str | None = None, epilog: str = ""
    ) -> None:
        super().__init__(
            prog=f"lexiseg {command}",
            usage=usage,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse(self, args: list[str]) -> argparse.Namespace:
        """Read the arguments; raises OptionError for what is not understood."""
        return self.parse_intermixed_args(args)

    def error(self, message: str) -> NoReturn:
        """Raise OptionError: what is wrong, the flag that was perhaps meant, where help is."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        flags = [flag for action in self._actions for flag in action.option_strings]
        hint = did_you_mean(unknown[0].partition("=")[0], flags) if unknown else ""
        if unknown:
            message = f"there is no option {unknown[0]!r}"
        raise OptionError(f"{message}; {hint or f'see {self.prog} --help'}")
