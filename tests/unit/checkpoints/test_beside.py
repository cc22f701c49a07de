"""Processes that work on one checkpoint at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lexiseg.checkpoints import (
    Record,
    cache,
    download,
    pull,
    register,
    remove,
    remove_words,
    resolve,
)
from lexiseg.errors import WeightsMissing

from .conftest import Hub, address, make_record

NAME = "clip-toy.test"
PULL = """
import json, sys
from lexiseg.checkpoints import Record, pull, register
register(Record.from_json(json.loads(sys.argv[1])))
print(pull("clip-toy.test")["model.safetensors"].read_bytes())
"""


@pytest.fixture
def record(hub: Hub) -> Record:
    record = make_record()
    register(record)
    hub.files[address("model.safetensors")] = b"weights"
    return record


def start(record: Record) -> subprocess.Popen[str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-c", PULL, json.dumps(record.to_json())],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_pull_one_after_the_other(hub: Hub, record: Record) -> None:
    runs = [start(record) for _ in range(3)]
    assert [run.communicate(timeout=60)[0] for run in runs] == ["b'weights'\n"] * 3
    assert len(hub.requests) == 1


def test_who_waits_says_so_once(hub: Hub, record: Record, clean: Path) -> None:
    with cache.locked(clean / NAME):
        run = start(record)
        assert run.stderr is not None
        line = run.stderr.readline()  # it comes while the lock is held
    out, rest = run.communicate(timeout=60)
    assert line == f"waiting for another process that changes {clean / NAME}\n"
    assert (out, rest) == ("b'weights'\n", "")


def test_remove_beside_a_pull_that_waits(
    hub: Hub, record: Record, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull holds the lock, a removal waits for it, and so does a second pull."""
    arrived, go_on = threading.Event(), threading.Event()
    fetch = download.fetch

    def slow(*arguments: object) -> object:
        arrived.set()
        assert go_on.wait(60)
        return fetch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(download, "fetch", slow)
    first = threading.Thread(target=pull, args=(NAME,))
    first.start()
    assert arrived.wait(60)
    gone: list[Path | None] = []
    removal = threading.Thread(target=lambda: gone.append(remove(NAME)))
    removal.start()
    second = start(record)
    assert second.stderr is not None
    assert second.stderr.readline().startswith("waiting for another process")
    go_on.set()
    first.join(60)
    removal.join(60)
    assert second.communicate(timeout=60) == ("b'weights'\n", "")
    assert gone == [clean / NAME]
    # Whichever of the two came last, nothing is left in between.
    try:
        assert resolve(NAME)["model.safetensors"].read_bytes() == b"weights"
        assert pull(NAME).paths == resolve(NAME).paths
    except WeightsMissing:
        assert not (clean / NAME).exists()
    assert [path.name for path in clean.iterdir() if not path.name.endswith(".lock")] in (
        [], [NAME]
    )  # fmt: skip


def test_a_removal_that_comes_second_finds_nothing(record: Record, clean: Path) -> None:
    pull(NAME)
    assert remove(NAME) == clean / NAME
    assert remove(NAME) is None


def test_kept_words_are_removed(clean: Path) -> None:
    assert remove_words() is None
    folder = cache.text_cache_folder()
    folder.mkdir(parents=True)
    (folder / "vectors.sqlite").write_text("x")
    assert remove_words() == folder
    assert not folder.exists()
