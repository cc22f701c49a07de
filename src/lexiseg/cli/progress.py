"""A line on a terminal that says how far the work is."""

from __future__ import annotations

import shutil
import sys
from types import TracebackType

__all__ = ["Progress"]


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
        """Show that picture `number` of `total` is at work, or done."""
        if self._shown and total > 1:
            width = shutil.get_terminal_size().columns - 1
            line = f"[{number}/{total}] {name}"
            sys.stderr.write(f"\r\x1b[K{line[:width]}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, before something else is written."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
