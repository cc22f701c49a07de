"""A line on a terminal that says how much has arrived; silent anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

_EVERY_S = 0.1


class Progress:
    """Use as a context; call it with the number of bytes that have arrived."""

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self._label, self._total = label, total
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream.isatty()
        self._last = 0.0
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> Progress:
        return self

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if not self._shown or (now - self._last < _EVERY_S and done != self._total):
            return
        self._last = now
        if self._first is None:
            self._first = (now, done)  # what an earlier run fetched says nothing about speed
        start, already = self._first
        speed = (done - already) / (now - start) / 1e6 if now > start else 0.0
        rate = f"  {speed:.1f} MB/s" if speed else ""
        share = f" / {self._total / 1e6:.1f} MB  {done / self._total:.0%}" if self._total else " MB"
        self._stream.write(f"\r{self._label}  {done / 1e6:.1f}{share}{rate}\x1b[K")
        self._stream.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown and self._last:
            self._stream.write("\n")
            self._stream.flush()
