"""Several processes at one address: each has a model of its own, and they share the cache folder.

The first process opens the address, starts the others, and starts one again that has died. Where
it is told to end, all answer what they accepted. Each writes its counters into a folder that only
these processes may read, so that `/metrics` of any tells of all.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from lexiseg.errors import LexisegError, OptionError
from lexiseg.server.connections import address_of, bound, log_to_stderr, serve
from lexiseg.server.options import ServerOptions

__all__ = ["run_workers"]

_LOG = logging.getLogger("lexiseg.server")
_SOON = 10.0  # seconds; a process that ends sooner than that after its start has not worked
_TRIES = 3


class _Worker:
    """One process, started again whenever it is."""

    def __init__(self, number: int, arguments: tuple[Any, ...]) -> None:
        self.number, self._arguments = number, arguments
        self.failed = 0  # starts in a row that came to nothing
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.ready, theirs = context.Pipe(duplex=False)
        # Not a daemon, which a process of ours ends without asking.
        self.process = context.Process(
            target=_work,
            args=(self.number, theirs, *self._arguments),
            name=f"lexiseg-{self.number}",
        )
        self.started = time.monotonic()
        self.process.start()
        theirs.close()


def run_workers(
    options: ServerOptions,
    count: int,
    started: Callable[[str], None] | None = None,
    *,
    quiet: bool = False,
) -> None:
    """Serve with `count` processes until SIGINT or SIGTERM; accepted requests are answered first.

    started: called with the address once all can be used. Raises OptionError where the address is
    taken or is not this machine's, LexisegError where processes end as soon as they start.
    """
    if sys.platform == "win32":
        raise OptionError("--workers needs a system with POSIX signals; leave it out")
    ended = threading.Event()
    before = {
        one: signal.signal(one, lambda *_: ended.set()) for one in (signal.SIGINT, signal.SIGTERM)
    }
    with bound(options) as sock, tempfile.TemporaryDirectory(prefix="lexiseg-") as folder:
        workers = [_Worker(n, (count, options, sock, folder, quiet)) for n in range(count)]
        try:
            _await_all(workers, ended)
            if started is not None and not ended.is_set():
                started(address_of(sock))
            while not ended.is_set():
                wait([one.process.sentinel for one in workers], timeout=0.2)
                _start_again(workers, ended)
        finally:
            for one in workers:
                if one.process.is_alive():
                    one.process.terminate()
            for one in workers:
                one.process.join()
            for number, handler in before.items():
                signal.signal(number, handler)


def _await_all(workers: list[_Worker], ended: threading.Event) -> None:
    """Wait until each has told that it can be used."""
    for one in workers:
        while not ended.is_set() and not one.ready.poll(0.2):
            _start_again(workers, ended)


def _start_again(workers: list[_Worker], ended: threading.Event) -> None:
    for one in workers:
        if ended.is_set() or one.process.is_alive():
            continue
        one.failed = one.failed + 1 if time.monotonic() - one.started < _SOON else 1
        if one.failed >= _TRIES:
            raise LexisegError(
                f"process {one.number} of the server ended {_TRIES} times as soon as it started "
                f"(exit code {one.process.exitcode}); see the messages before this one"
            )
        _LOG.warning("process %d ended (%s); it is started again", one.number, one.process.exitcode)
        one.start()


def _work(
    number: int, ready: Connection, count: int, options: ServerOptions, sock: Any, folder: str,
    quiet: bool,
) -> None:  # fmt: skip
    """Serve, in a process of its own."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    log_to_stderr(quiet=quiet)

    def told(_: str) -> None:
        ready.send(number)

    serve(options, sock, told, shared=(Path(folder), number))
