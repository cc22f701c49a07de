"""What the commands share at a terminal: the parser of flags, tables, and a line of progress."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NoReturn

from lexiseg.errors import OptionError, did_you_mean

__all__ = ["Parser", "Progress", "on_one_line", "table"]


_NEGATIVE = re.compile(r"-[\d.]")


class _Once(argparse.Action):
    """Store a value; of two, neither is silently dropped."""

    given = False

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if self.given and option_string is not None:
            parser.error(f"{option_string} is given twice; give it once")
        self.given = True
        setattr(namespace, self.dest, values)


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
        self.register("action", None, _Once)

    def parse(self, args: list[str]) -> argparse.Namespace:
        """Read the arguments; raises OptionError for what is not understood."""
        for action in self._actions:
            if isinstance(action, _Once):
                action.given = False
        return self.parse_intermixed_args(self._joined(args))

    def _joined(self, args: list[str]) -> list[str]:
        """The arguments, a negative number joined to the flag before it, lest it look like one."""
        takes = {flag for one in self._actions if one.nargs is None for flag in one.option_strings}
        out: list[str] = []
        for arg in args:
            if out and out[-1] in takes and _NEGATIVE.match(arg):
                out[-1] = f"{out[-1]}={arg}"
            else:
                out.append(arg)
        return out

    def error(self, message: str) -> NoReturn:
        """Raise OptionError: what is wrong, the flag that was perhaps meant, where help is."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        flags = [flag for action in self._actions for flag in action.option_strings]
        hint = did_you_mean(unknown[0].partition("=")[0], flags) if unknown else ""
        if unknown:
            message = f"there is no option {unknown[0]!r}"
        raise OptionError(f"{message}; {hint or f'see {self.prog} --help'}")


class Progress:
    """Counts pictures on stderr, on one line that is taken away at the end.

    Silent where stderr is not a terminal, so that logs stay clean, and for a single picture.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._shown = not quiet and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def step(self, number: int, total: int, name: str = "") -> None:
        """Show that picture `number` of `total` is at work, or done; 0 for an unknown total."""
        if self._shown and total != 1:
            width = shutil.get_terminal_size().columns - 1
            line = f"[{number}/{total}] {name}" if total else f"[{number}] {name}"
            sys.stderr.write(f"\r\x1b[K{line[:width]}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, before something else is written."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def on_one_line(text: str) -> str:
    """Return a text, or a path, as it can be shown: signs that move the cursor are spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: int = 2) -> str:
    """Return `rows` as lines with aligned columns; the columns in `right` end flush.

    The last column may be of any length. Letters that take two places, as in Chinese, count so.
    """
    columns = max((len(row) for row in rows), default=0)
    wide = [
        max((_width(row[c]) for row in rows if c < len(row)), default=0) for c in range(columns)
    ]
    lines = []
    for row in rows:
        cells = []
        for column, cell in enumerate(row):
            gap = " " * (wide[column] - _width(cell))
            cells.append(gap + cell if column in right else cell + gap)
        lines.append(" " * indent + "  ".join(cells).rstrip())
    return "\n".join(lines) + "\n" if lines else ""


def _width(text: str) -> int:
    """How many places `text` takes on a terminal."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
