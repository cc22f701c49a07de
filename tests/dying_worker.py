"""A process of a batch that loads nothing, and dies of some pictures: see test_batch_workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from lexiseg.batch.work import DONE, Record
from lexiseg.errors import WeightsMissing


def work(pipe: Any, start: Any, number: int) -> None:
    """Do tasks by their names: "killer" kills, "once" kills the first time, "lacks" ends the run.

    start.config: a folder, in which is noted that "once" came, or "dead", to die before all.
    """
    if start.config == "dead":
        os._exit(3)
    pipe.send(None)
    while (task := pipe.recv()) is not None:
        seen = Path(start.config) / f"{task.key}.seen"
        if task.name == "killer" or (task.name == "once" and not seen.exists()):
            seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if task.name == "lacks":
            pipe.send(WeightsMissing("the weights are not here; pull them"))
            return
        pipe.send(Record(task.key, DONE))
