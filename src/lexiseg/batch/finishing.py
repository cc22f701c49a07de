"""Moments of work, such as moving results into their place, that a signal does not cut in two."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["finishing", "forget", "postpone"]


class _Pending:
    """Signals that came while something had to be finished."""

    depth = 0
    came = False


@contextmanager
def finishing() -> Iterator[None]:
    """Finish what is begun inside, moments of work, before a signal ends the process.

    In the main thread, where signals come; in others it changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Pending.depth += 1
    try:
        yield
    finally:
        _Pending.depth -= 1
    if _Pending.came and not _Pending.depth:
        _Pending.came = False
        raise KeyboardInterrupt


def postpone() -> bool:
    """Note a signal that came; return whether something is to be finished first."""
    if _Pending.depth:
        _Pending.came = True
    return _Pending.depth > 0


def forget() -> None:
    """Forget signals that came before."""
    _Pending.came = False
