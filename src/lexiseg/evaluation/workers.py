"""Pictures measured one after another, or by several processes that each load the method."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.datasets import Sample
from lexiseg.errors import OptionError
from lexiseg.evaluation.pictures import PictureResult, PictureTask, measure_picture
from lexiseg.results import Provenance

__all__ = ["measure_all"]

Measured = tuple[PictureResult, Provenance, NDArray[np.uint8] | None]

_worker: list[tuple[Any, PictureTask]] = []  # of this process: the segmenter and the task


def measure_all(
    segmenter: Callable[..., Any], samples: Sequence[Sample], task: PictureTask, jobs: int = 1
) -> Iterator[Measured]:
    """Measure pictures, in order.

    jobs: processes; more than one needs a segmenter that `lexiseg.load` made, since each loads its
    own. Raises OptionError where it is not, and what a picture raises.
    """
    if jobs == 1 or len(samples) < 2:
        for sample in samples:
            yield measure_picture(segmenter, sample, task)
        return
    config, scorer = getattr(segmenter, "config", None), getattr(segmenter, "scorer", None)
    if config is None or scorer is None:
        raise OptionError(
            f"{jobs} jobs each load the method anew, and {type(segmenter).__name__} is not one of "
            "lexiseg.load; use 1 job"
        )
    how = (config, scorer.device_name, scorer.dtype_name, task, jobs)
    pool = ProcessPoolExecutor(
        min(jobs, len(samples)),
        mp_context=multiprocessing.get_context("spawn"),  # torch does not survive a fork
        initializer=_start,
        initargs=how,
    )
    waiting: deque[Future[Measured]] = deque()
    left = iter(samples)
    try:
        for sample in left:
            waiting.append(pool.submit(_measure, sample))
            if len(waiting) < 2 * jobs:
                continue
            yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(config: Any, device: str, dtype: str, task: PictureTask, jobs: int) -> None:
    """Load the method in a worker; leave interrupts to the parent, and end when that has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from lexiseg import loading

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    _worker.append((loading.load(config, device=device, dtype=dtype, offline=True), task))


def _measure(sample: Sample) -> Measured:
    segmenter, task = _worker[0]
    return measure_picture(segmenter, sample, task)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # nobody is left who could be told
