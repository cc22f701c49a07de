"""The same run on Ray: an actor a CPU or GPU, on this machine or a cluster, in place of processes.

The driver plans, hands out pictures, keeps the journal and makes the tables. Actors write results,
whole by renaming, so that work that is done twice, because an actor or the driver died, gives the
same bytes in the same place.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from lexiseg.batch.pipeline import run_pipeline
from lexiseg.batch.plan import Task
from lexiseg.batch.work import Record, failure
from lexiseg.batch.workers import Start, load_worker
from lexiseg.errors import ExtraMissing, LexisegError, OptionError

__all__ = ["HERE", "check_address", "run_on_ray"]

HERE = "local"  # the address of a Ray of our own, on this machine
_CHUNK = 8  # pictures: while one is segmented, others of its chunk are read and written
_RETRIES = 2  # of a chunk whose actor died, by Ray, on a new one
_AHEAD = 2  # chunks that an actor holds


def check_address(address: str) -> None:
    """Raise OptionError for what is no address of a Ray."""
    if address not in (HERE, "auto") and ":" not in address:
        raise OptionError(
            f"{address!r} is no address of Ray; give HOST:PORT, ray://HOST:PORT or auto, or write "
            "--ray last for one on this machine"
        )


def run_on_ray(
    start: Start,
    address: str,
    count: int | None,
    tasks: Iterator[Task],
    send: Callable[[Record], None],
) -> None:
    """Do tasks by `count` actors; send: called with each record, in any order.

    address: `HERE`, "auto", HOST:PORT or ray://HOST:PORT. count: None: one a CPU, or GPU, of the
    cluster. An actor that dies is started again and its pictures with it; those that go on killing
    actors fail. Raises what would end any run, ExtraMissing without Ray, OptionError where no
    cluster answers.
    """
    ray = _ray()
    with _connected(ray, address, count):
        crew = _Actors(ray, start, count or _places(ray, start))
        try:
            _hand_out(ray, crew, tasks, send)
        finally:
            crew.end()


def _hand_out(
    ray: Any, crew: _Actors, tasks: Iterator[Task], send: Callable[[Record], None]
) -> None:
    """Keep every actor busy until all is done; chunks that an actor died of come back singly."""
    running: dict[Any, tuple[int, list[Task]]] = {}
    single: deque[Task] = deque()
    held = [0] * len(crew)
    while True:
        for number in range(len(crew)):
            while held[number] < _AHEAD:
                chunk = list(islice(tasks, _CHUNK)) or ([single.popleft()] if single else [])
                if not chunk:
                    break
                running[crew.work(number, chunk)] = number, chunk
                held[number] += 1
        if not running:
            return
        (ready,), _ = ray.wait(list(running), num_returns=1)
        number, chunk = running.pop(ready)
        held[number] -= 1
        try:
            records = ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            raise _told(error) from error
        except ray.exceptions.RayError as error:  # died, and again, or its node has gone
            crew.replace(number)
            if len(chunk) == 1:
                send(failure(chunk[0], _death(error)))
            else:
                single.extend(chunk)
            continue
        for record in records:
            send(record)


class _Actors:
    """The actors of a run."""

    def __init__(self, ray: Any, start: Start, count: int) -> None:
        self._ray, self._start, self._home = ray, start, os.getcwd()
        gpu = (start.options.device or "").startswith("cuda")
        # Small chunks are retried whole: what was written is written again, the same.
        self._kind = ray.remote(
            num_cpus=start.threads, num_gpus=int(gpu), max_restarts=-1, max_task_retries=_RETRIES
        )(_Actor)
        self._actors = [self._kind.remote(start, self._home) for _ in range(count)]

    def __len__(self) -> int:
        return len(self._actors)

    def work(self, number: int, chunk: Sequence[Task]) -> Any:
        """Hand a chunk to an actor; return Ray's promise of its records."""
        return self._actors[number].work.remote(list(chunk))

    def replace(self, number: int) -> None:
        """Put a new actor in the place of one that does not answer."""
        self._ray.kill(self._actors[number], no_restart=True)
        self._actors[number] = self._kind.remote(self._start, self._home)

    def end(self) -> None:
        """End all actors; what they hold is not done."""
        for actor in self._actors:
            self._ray.kill(actor, no_restart=True)


class _Actor:
    """A worker in a process of Ray."""

    def __init__(self, start: Start, folder: str) -> None:
        if os.path.isdir(folder):  # names are as they were given, as seen from there
            os.chdir(folder)
        self._worker = load_worker(start)

    def work(self, chunk: list[Task]) -> list[Record]:
        """Do tasks; return their records."""
        records: list[Record] = []
        left = iter(chunk)
        run_pipeline(self._worker, lambda: next(left, None), records.append)
        return records


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ExtraMissing("--ray needs Ray; pip install 'lexiseg[ray]'") from error
    return ray


@contextmanager
def _connected(ray: Any, address: str, count: int | None) -> Iterator[None]:
    """Connect to a Ray, unless this process is; one that was started for this run ends with it."""
    if ray.is_initialized():
        yield
        return
    before = os.environ.get("RAY_USAGE_STATS_ENABLED")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent to anybody
    own: dict[str, Any] = {"include_dashboard": False}
    if count is not None:
        own["num_cpus"] = count
    try:
        ray.init(
            address=address, log_to_driver=False, logging_level="ERROR",
            **(own if address == HERE else {}),
        )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        line = " ".join(str(error).split())[:200]
        raise OptionError(f"no Ray answers at {address!r} ({line}); start one there") from error
    try:
        yield
    finally:
        ray.shutdown()
        if before is None:
            del os.environ["RAY_USAGE_STATS_ENABLED"]
        else:
            os.environ["RAY_USAGE_STATS_ENABLED"] = before


def _places(ray: Any, start: Start) -> int:
    """How many actors a cluster has room for."""
    there = ray.cluster_resources()
    if (start.options.device or "").startswith("cuda"):
        return max(1, int(there.get("GPU", 0)))
    return max(1, int(there.get("CPU", 1)) // start.threads)


def _told(error: Any) -> BaseException:
    """What an actor raised, as it raised it."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, LexisegError):
        return type(cause)(str(cause))
    return LexisegError(f"an actor of Ray failed ({' '.join(str(cause or error).split())[:300]})")


def _death(error: BaseException) -> str:
    kind = type(error).__name__
    return (
        f"the actor that worked on it ended, several times ({kind}); perhaps memory is short: give "
        "fewer --workers, or smaller pictures"
    )
