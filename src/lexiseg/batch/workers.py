"""Several processes that each load the method and do tasks; one that dies loses none.

On CPUs a process has one thread, so that results are the same bytes however many there are, and
several of them keep all cores busy where one with many threads does not. On GPUs a process has a
device.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from lexiseg.batch.pipeline import run_pipeline
from lexiseg.batch.plan import Task
from lexiseg.batch.work import Recipe, Record, Worker, failure
from lexiseg.errors import LexisegError
from lexiseg.protocols import LoadOptions

__all__ = ["Start", "default_workers", "load_worker", "run_workers"]

_DEATHS = 2  # of processes that did nothing but one picture, and then it fails
_IN_FLIGHT = 5  # tasks that a process holds: one in each stage and those that wait between


@dataclass(frozen=True)
class Start:
    """What a process needs to begin.

    config: of the method, or a segmenter itself where there is one process, this one. options: by
    which a Config is loaded. threads: of a process; of one that computes on a CPU.
    """

    config: Any
    recipe: Recipe
    options: LoadOptions = field(default_factory=LoadOptions)
    threads: int = 1


def default_workers(options: LoadOptions) -> int:
    """Return how many processes keep a machine busy: its CPUs, or its GPUs."""
    import torch

    from lexiseg import device

    kind = device.pick(options.device, options.dtype).device
    if kind.type == "cuda":
        return torch.cuda.device_count() if kind.index is None else 1
    if kind.type != "cpu":
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_worker(start: Start, number: int = 0) -> Worker:
    """Return the worker of a process; number: of the process, for its GPU."""
    import cv2
    import torch

    from lexiseg import device, loading

    options = start.options
    kind = device.pick(options.device, options.dtype).device
    if kind.type == "cuda" and kind.index is None and torch.cuda.device_count() > 1:
        options = replace(options, device=f"cuda:{number % torch.cuda.device_count()}")
    torch.set_num_threads(start.threads)
    cv2.setNumThreads(start.threads)
    segmenter = loading.load(
        start.config, device=options.device, dtype=options.dtype, pull=options.pull,
        offline=options.offline,
    )  # fmt: skip
    return Worker(segmenter, replace(start.recipe, options=options))


def run_workers(
    start: Start,
    count: int,
    tasks: Iterator[Task],
    send: Callable[[Record], None],
) -> None:
    """Do tasks in `count` processes; send: called with each record, in any order.

    A process that dies is replaced, and the pictures that it held are done one by one; one with
    which it happens twice more fails. Raises what would end any run: see `run_pipeline`.
    """
    crew = _Crew(start, tasks, send)
    try:
        crew.run(count)
    finally:
        crew.end()


@dataclass(eq=False)
class _Process:
    """A process, and the tasks that it holds, in order."""

    number: int
    process: SpawnProcess
    pipe: Connection
    held: deque[Task] = field(default_factory=deque)
    ready: bool = False
    asked_to_end: bool = False


class _Crew:
    """The processes of a run."""

    def __init__(self, start: Start, tasks: Iterator[Task], send: Callable[[Record], None]) -> None:
        self._start, self._tasks, self._send = start, tasks, send
        self._suspects: deque[Task] = deque()  # held by a process that died: each is done alone
        self._suspected: set[str] = set()
        self._deaths: Counter[str] = Counter()
        self._processes: list[_Process] = []
        self._context = multiprocessing.get_context("spawn")  # torch does not survive a fork

    def run(self, count: int) -> None:
        """Work until there are no more tasks."""
        for number in range(count):
            first = self._next()
            if first is None:
                break
            self._hire(number, first)
        while self._processes:
            ends = {one.pipe: one for one in self._processes}
            for pipe in wait(list(ends)):
                self._hear(ends[pipe])  # type: ignore[index]

    def end(self) -> None:
        """End all processes; what they hold is not done."""
        for one in self._processes:
            one.process.terminate()
        for one in self._processes:
            one.process.join()
            one.pipe.close()
        self._processes.clear()

    def _next(self) -> Task | None:
        return self._suspects.popleft() if self._suspects else next(self._tasks, None)

    def _hire(self, number: int, first: Task) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._start, number), daemon=True
        )
        process.start()
        theirs.close()
        one = _Process(number, process, ours)
        self._processes.append(one)
        self._give(one, first)

    def _give(self, one: _Process, task: Task | None) -> None:
        if task is None:
            if not one.asked_to_end:
                one.asked_to_end = True
                self._tell(one, None)
            return
        one.held.append(task)
        self._tell(one, task)

    def _tell(self, one: _Process, what: Task | None) -> None:
        try:
            one.pipe.send(what)
        except (BrokenPipeError, ConnectionResetError):
            return  # it has died: heard of when its end of the pipe is read

    def _hear(self, one: _Process) -> None:
        """Take what a process says: that it is ready, a record, an error that ends the run."""
        try:
            said = one.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._bury(one)
            return
        if isinstance(said, BaseException):
            raise said
        if isinstance(said, Record):
            one.held.popleft()
            self._send(said)
        else:
            one.ready = True
        while len(one.held) < _IN_FLIGHT and not one.asked_to_end:
            alone = bool(one.held) and one.held[-1].key in self._suspected
            if alone or (one.held and self._suspects):
                break
            self._give(one, self._next())

    def _bury(self, one: _Process) -> None:
        """Give the tasks of a process that has ended to others, or to a new one."""
        one.process.join()
        one.pipe.close()
        self._processes.remove(one)
        held = list(one.held)
        if held and not one.ready:
            raise LexisegError(f"a process ended while it loaded the method; {_MEMORY}")
        if len(held) == 1 and held[0].key in self._suspected:
            self._deaths[held[0].key] += 1
            if self._deaths[held[0].key] == _DEATHS:
                self._send(failure(held.pop(), _death(one.process.exitcode)))
        self._suspects.extend(held)
        self._suspected |= {task.key for task in held}
        if (task := self._next()) is not None:
            self._hire(one.number, task)


_MEMORY = "perhaps memory is short: give fewer --workers, or smaller pictures"


def _death(code: int | None) -> str:
    how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
    return f"the process that worked on it ended {how}, twice; {_MEMORY}"


def _work(pipe: Connection, start: Start, number: int) -> None:
    """What a process does. It leaves interrupts to its parent, and ends when that has gone."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        worker = load_worker(start, number)
        pipe.send(None)
        run_pipeline(worker, pipe.recv, pipe.send)
    except LexisegError as error:
        pipe.send(error)
    except (BrokenPipeError, EOFError):  # the parent has gone
        os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # nobody is left who could be told
