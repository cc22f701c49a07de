"""One process of a run: while a picture is segmented, the next is read and the last is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Queue

from lexiseg.batch.plan import Task
from lexiseg.batch.work import Found, Record, Worker, failure
from lexiseg.errors import CheckpointError, DiskFull, MissingError, error_line
from lexiseg.imaging import Picture

__all__ = ["run_pipeline"]

_AHEAD = 2  # pictures that wait between two stages: memory is theirs


@dataclass
class _Carried:
    """A task on its way: what the stages made of it, or the error of one."""

    task: Task
    picture: Picture | None = None
    found: Found | None = None
    record: Record | None = None
    error: Exception | None = None

    def read(self, worker: Worker) -> None:
        self.picture = worker.read(self.task)

    def find(self, worker: Worker) -> None:
        assert self.picture is not None
        self.found = worker.find(self.task, self.picture)

    def write(self, worker: Worker) -> None:
        assert self.picture is not None
        assert self.found is not None
        self.record = worker.write(self.task, self.picture, self.found)

    def attempt(self, stage: Callable[[Worker], None], worker: Worker) -> None:
        """Do a stage, unless one failed before; keep its error."""
        if self.error is None:
            try:
                stage(worker)
            except Exception as error:  # noqa: BLE001 - one picture's fault, told in its record
                self.error = error

    def outcome(self) -> Record:
        """The record; raises an error that would come with any other picture, too."""
        if self.record is not None:
            return self.record
        assert self.error is not None
        lacking = isinstance(self.error, MissingError | CheckpointError)
        if isinstance(self.error, DiskFull) or (lacking and self.picture is not None):
            raise self.error
        return failure(self.task, error_line(self.error))


def run_pipeline(
    worker: Worker,
    receive: Callable[[], Task | None],
    send: Callable[[Record], None],
) -> None:
    """Do tasks until `receive` returns None.

    receive: called in a thread, returns the next task. send: called in another with each record, in
    the order of the tasks.
    Errors of a picture are records; one that would come with any picture is raised: MissingError,
    CheckpointError, DiskFull, and whatever `receive` and `send` raise.
    """
    before: Queue[_Carried | None] = Queue(_AHEAD)
    behind: Queue[_Carried | None] = Queue(_AHEAD)
    ended = threading.Event()
    fatal: list[BaseException] = []

    def read() -> None:
        try:
            while not ended.is_set() and (task := receive()) is not None:
                carried = _Carried(task)
                carried.attempt(carried.read, worker)
                before.put(carried)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            fatal.append(error)
            ended.set()
        finally:
            before.put(None)

    def write() -> None:
        while (carried := behind.get()) is not None:
            if ended.is_set() and fatal:
                continue
            try:
                carried.attempt(carried.write, worker)
                send(carried.outcome())
            except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                fatal.append(error)
                ended.set()

    reader = threading.Thread(target=read, daemon=True)
    writer = threading.Thread(target=write, daemon=True)
    reader.start()
    writer.start()
    try:
        while (carried := before.get()) is not None and not ended.is_set():
            carried.attempt(carried.find, worker)
            behind.put(carried)
    finally:
        ended.set()
        while reader.is_alive() and not before.empty():  # one that waits to hand on can end
            before.get()
        behind.put(None)
        writer.join()
    if fatal:
        raise fatal[0]
