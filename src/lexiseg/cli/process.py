"""The process around a command: signals that end it, and streams that are closed, full or left.

Nothing of this happens at import; `main` enters and leaves it, and puts everything back.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from lexiseg.batch.finishing import forget, postpone

__all__ = ["GuardedStream", "guarded_streams", "interruptible", "no_collection"]

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the signals that end a process raise KeyboardInterrupt, so that it cleans up.

    Those that are ignored, as under nohup, stay so. Only the main thread may do this; in another
    one nothing changes.
    """
    before: dict[int, Any] = {}
    forget()
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def no_collection() -> Iterator[None]:
    """Look for no garbage inside: imports and weights make many objects, which all stay."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not postpone():
        raise KeyboardInterrupt


class GuardedStream:
    """A text stream that never stops the work: what cannot be written is dropped.

    broken: why nothing more is written: None, or the error. A reader that has gone is no fault.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.broken: OSError | ValueError | None = None

    def write(self, text: str) -> int:
        if self.broken is None:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        if self.broken is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    @property
    def failed(self) -> OSError | ValueError | None:
        """Why something that was meant to be read could not be written, or None."""
        return None if isinstance(self.broken, BrokenPipeError) else self.broken

    def _give_up(self, error: OSError | ValueError) -> None:
        self.broken = error
        # What is buffered has nowhere to go, and Python would try again when it ends.
        with suppress(OSError, ValueError, AttributeError):
            number = self._stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def guarded_streams() -> Iterator[GuardedStream]:
    """Let a command write to stdout and stderr, whatever they are; yield the guarded stdout.

    Streams that a process was started without go nowhere, and their numbers are taken, lest a
    picture's file gets one and a library's warnings are written into it.
    """
    _fill_closed_descriptors()
    before = sys.stdout, sys.stderr
    opened = []
    guarded = []
    for stream in before:
        if stream is None or stream.closed:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - closed below
            opened.append(stream)
        if hasattr(stream, "reconfigure"):  # a word in a script that the terminal lacks
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")
        guarded.append(GuardedStream(stream))
    sys.stdout, sys.stderr = guarded
    try:
        yield guarded[0]
    finally:
        for one in guarded:
            one.flush()
        sys.stdout, sys.stderr = before
        for stream in opened:
            stream.close()


def _fill_closed_descriptors() -> None:
    """Open the null device under each of the numbers 0, 1 and 2 that nothing has."""
    with suppress(OSError):
        number = os.open(os.devnull, os.O_RDWR)
        while number <= 2:
            number = os.open(os.devnull, os.O_RDWR)
        os.close(number)
