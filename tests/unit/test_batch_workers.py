"""Processes that die: what they held is done by others, once; what kills again and again fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests import dying_worker

from lexiseg.batch import workers
from lexiseg.batch.plan import Task
from lexiseg.batch.requests import Request
from lexiseg.batch.work import DONE, FAILED, Recipe, Record
from lexiseg.batch.workers import Start, run_workers
from lexiseg.errors import LexisegError, WeightsMissing
from lexiseg.planning import Job
from lexiseg.prompts import Clicks

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_work", dying_worker.work)


def start(folder: Path, config: str | None = None) -> Start:
    return Start(config or str(folder), Recipe(folder, folder / "workshop", ()))


def tasks(*names: str) -> list[Task]:
    request = Request(("red",), "default", (), Clicks())
    job = Job(Path("a.png"), "/a.png", Path("a"))
    return [Task(n, f"{n}", name, request, job, None) for n, name in enumerate(names)]


def test_every_task_has_one_record_whoever_dies(tmp_path: Path) -> None:
    names = ["a", "b", "killer", "once", "c", "d"]
    records: list[Record] = []
    run_workers(start(tmp_path), 2, iter(tasks(*names)), records.append)
    assert sorted(int(record.key) for record in records) == [*range(len(names))]
    failed = {int(record.key): record.error for record in records if record.status == FAILED}
    assert sorted(failed) == [n for n, name in enumerate(names) if name == "killer"]
    assert all("ended by signal 9, twice" in error for error in failed.values())
    assert all(record.status in (DONE, FAILED) for record in records)


def test_what_would_end_any_run_is_raised(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="pull them"):
        run_workers(start(tmp_path), 1, iter(tasks("a", "lacks", "b")), lambda record: None)
    with pytest.raises(LexisegError, match="while it loaded the method"):
        run_workers(start(tmp_path, "dead"), 2, iter(tasks("a", "b")), lambda record: None)
