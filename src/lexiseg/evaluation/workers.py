"""Work done one by one, or by several processes that each load the method."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any, TypeVar

from lexiseg.errors import OptionError

__all__ = ["measure_all"]

Unit = TypeVar("Unit")
Measured = TypeVar("Measured")
Measure = Callable[[Callable[..., Any], Unit], Measured]

_worker: list[tuple[Any, Measure[Any, Any]]] = []  # of this process: the segmenter and the work


def measure_all(
    segmenter: Callable[..., Any],
    units: Sequence[Unit],
    measure: Measure[Unit, Measured],
    jobs: int = 1,
) -> Iterator[Measured]:
    """Yield `measure(segmenter, unit)` of each unit, in order.

    jobs: processes; more than one needs a segmenter that `lexiseg.load` made, since each loads its
    own, and a `measure` that can be pickled. Raises OptionError where the segmenter is none such,
    and what a unit raises.
    """
    if jobs < 1:
        raise OptionError(f"jobs is {jobs}; give at least 1")
    if jobs == 1 or len(units) < 2:
        for unit in units:
            yield measure(segmenter, unit)
        return
    config, scorer = getattr(segmenter, "config", None), getattr(segmenter, "scorer", None)
    if config is None or scorer is None:
        raise OptionError(
            f"{jobs} jobs each load the method anew, and {type(segmenter).__name__} is not one of "
            "lexiseg.load; use 1 job"
        )
    how = (config, scorer.device_name, scorer.dtype_name, measure, jobs)
    pool = ProcessPoolExecutor(
        min(jobs, len(units)),
        mp_context=multiprocessing.get_context("spawn"),  # torch does not survive a fork
        initializer=_start,
        initargs=how,
    )
    waiting: deque[Future[Measured]] = deque()
    left = iter(units)
    try:
        for unit in left:
            waiting.append(pool.submit(_measure, unit))
            if len(waiting) < 2 * jobs:
                continue
            yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(config: Any, device: str, dtype: str, measure: Measure[Any, Any], jobs: int) -> None:
    """Load the method in a worker; leave interrupts to the parent, and end when that has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from lexiseg import loading

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    _worker.append((loading.load(config, device=device, dtype=dtype, offline=True), measure))


def _measure(unit: Any) -> Any:
    segmenter, measure = _worker[0]
    return measure(segmenter, unit)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # nobody is left who could be told
