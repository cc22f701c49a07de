"""`lexiseg batch --ray`: the same bytes; actors and the driver are killed; stores get results."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from tests.e2e.test_batch import ARGUMENTS, POSIX, command, journal, photos
from tests.unit.test_batch_run import results, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), POSIX]


def finish(here: Path, *arguments: str) -> str:
    process = command(here, *arguments)
    said, errors = process.communicate()
    assert process.returncode == 1, errors.decode()
    return said.decode()


def actors() -> list[int]:
    """The processes of Ray that do our work, which their titles tell."""
    out = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"_Actor" in (folder / "cmdline").read_bytes():
                out.append(int(folder.name))
        except OSError:
            continue
    return out


def test_an_actor_and_the_driver_die_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    photos(tmp_path / "in", 60)
    finish(tmp_path, *ARGUMENTS, "whole")
    process = command(tmp_path, *ARGUMENTS, "out", "--ray")
    while process.poll() is None and journal(tmp_path / "out") < 5:
        time.sleep(0.01)
    killed = actors()
    assert killed
    os.kill(killed[0], signal.SIGKILL)
    while process.poll() is None and journal(tmp_path / "out") < 24:
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = journal(tmp_path / "out")
    said = json.loads(finish(tmp_path, *ARGUMENTS, "out", "--json", "--ray"))
    assert said["earlier"] >= done - 4  # what failed is tried again
    assert results(tmp_path / "out") == results(tmp_path / "whole")
    listed = [row["picture"] for row in rows(tmp_path / "out" / "pictures.csv")]
    assert len(listed) == len(set(listed)) == 64


def test_pictures_and_results_may_lie_in_a_store(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    photos(tmp_path / "in", 9)
    asked = (*ARGUMENTS[1:], "--write", "labels")
    finish(tmp_path, "in", *asked, "whole")
    store = (tmp_path / "out").as_uri()
    finish(tmp_path, (tmp_path / "in").as_uri(), *asked, store, "--ray")
    sent, whole = results(tmp_path / "out"), results(tmp_path / "whole")
    assert sent.keys() == whole.keys()
    alike = [name for name in whole if name.endswith(".png")]
    assert [name for name in alike if sent[name] != whole[name]] == []
    document = json.loads(sent["deep/1/result.json"])
    assert document["image"]["path"] == (tmp_path / "in" / "deep" / "1.png").as_uri()
    said = finish(tmp_path, (tmp_path / "in").as_uri(), *asked, store, "--json")
    assert json.loads(said)["earlier"] == json.loads(said)["total"] - len(
        json.loads(said)["failed"]
    )
