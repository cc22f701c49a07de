"""`lexiseg batch` as processes: killed at any moment, robbed of its workers, by flags alone."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.colour_finder import stand_in
from tests.unit.test_batch_run import paint, results, rows

from lexiseg.cli import main

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def command(here: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "lexiseg", "batch", *arguments],
        cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def photos(folder: Path, count: int) -> None:
    """Write crops of the example photos, and files that cannot be done, among them."""
    folder.mkdir()
    drawn = random.Random(0)
    sources = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
    for n in range(count):
        with Image.open(sources[n % len(sources)]) as image:
            x, y = drawn.randrange(image.width - 100), drawn.randrange(image.height - 100)
            side = drawn.randrange(70, 160)
            crop = image.convert("RGB").crop((x, y, min(x + side, image.width), y + 90))
            place = folder / ("deep" if n % 3 else ".") / f"{n}.png"
            place.parent.mkdir(exist_ok=True)
            crop.save(place)
    whole = (folder / "0.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    Image.fromarray(np.zeros((1, 1), np.uint8)).resize((20_000, 15_000)).save(folder / "huge.png")
    (folder / "unreadable.png").write_bytes(whole)
    (folder / "unreadable.png").chmod(0)


def journal(out: Path) -> int:
    """How many records a run has written."""
    try:
        text = (out / ".lexiseg-batch" / "1-of-1.jsonl").read_bytes()
    except OSError:
        return 0
    return text.count(b'"status"')


ARGUMENTS = ("in", "--words", "person; sky; grass", "--workers", "2", "--max-pixels", "100000000")


@POSIX
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_random_moments_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    photos(tmp_path / "in", 40)
    whole = command(tmp_path, *ARGUMENTS, "whole")
    whole.communicate()
    assert whole.returncode == 1
    drawn = random.Random(1)
    kills = 0
    for goal in (1, 7, 15, 24, 33):
        process = command(tmp_path, *ARGUMENTS, "out")
        while process.poll() is None and journal(tmp_path / "out") < goal:
            time.sleep(0.001)
        time.sleep(drawn.random() * 0.1)  # anywhere in the work on a picture
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 3
    fewer = ("1" if one == "2" else one for one in ARGUMENTS)  # any number of them
    process = command(tmp_path, *fewer, "out", "--json")
    said = json.loads(process.communicate()[0])
    assert process.returncode == 1
    assert said["earlier"] > 0
    assert results(tmp_path / "out") == results(tmp_path / "whole")
    failed = {Path(row["picture"]).name for row in rows(tmp_path / "out" / "failures.csv")}
    assert {"broken.png", "empty.jpg", "huge.png"} <= failed <= {
        "broken.png", "empty.jpg", "huge.png", "unreadable.png",  # root may read all
    }  # fmt: skip
    left = [path.name for path in (tmp_path / "out").rglob("*") if "partial" in path.name]
    assert left == []
    assert [*(tmp_path / "out" / ".lexiseg-batch").glob("workshop*")] == []


@POSIX
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_workers_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    photos(tmp_path / "in", 24)
    whole = command(tmp_path, *ARGUMENTS, "whole")
    whole.communicate()
    assert whole.returncode == 1
    process = command(tmp_path, *ARGUMENTS, "out")
    killed: set[int] = set()
    for goal in (2, 9):
        while process.poll() is None and journal(tmp_path / "out") < goal:
            time.sleep(0.001)
        workers = [pid for pid in children(process.pid) if pid not in killed]
        os.kill(workers[0], signal.SIGKILL)
        killed.add(workers[0])
    process.communicate()
    assert process.returncode == 1
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def children(parent: int) -> list[int]:
    """The worker processes of a run: Python's own helper of them is none."""
    out = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and f" {parent} " in (folder / "stat").read_text()[:60]:
                line = (folder / "cmdline").read_bytes()
                if b"spawn_main" in line:
                    out.append(int(folder.name))
        except OSError:
            continue
    if not out:
        pytest.skip("the system does not tell of processes")
    return sorted(out)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "in" / "a.png", red=(0, 0, 9, 9))
    paint(tmp_path / "in" / "b" / "c.png", green=(0, 0, 9, 9))
    return tmp_path


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command work in this process, with a segmenter that finds colours."""
    from lexiseg.batch import run as conductor

    finder = stand_in(monkeypatch)
    real = conductor.run_batch

    def run(config: Any, *given: Any, **options: Any) -> Any:
        finder.config = config
        return real(finder, *given, **options)

    monkeypatch.setattr(conductor, "run_batch", run)


@pytest.mark.usefixtures("alone")
def test_the_command_says_what_became_of_a_run(here: Path, capsys: Any) -> None:
    assert main(["batch", "in", "out", "--words", "red; green", "--masks", "jsonl"]) == 0
    said = capsys.readouterr()
    assert "2 pictures done" in said.out
    assert "2 masks -> out" in said.out
    (here / "in" / "d.jpg").touch()
    assert main(["batch", "in", "out", "--words", "red; green", "--masks", "jsonl", "--json"]) == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert (document["done"], document["earlier"], len(document["failed"])) == (0, 2, 1)
    assert said.err.count("\n") == 2
    assert main(["batch", "in", "none", "--words", "blue", "--masks", "none"]) == 1
    (here / "in" / "d.jpg").unlink()
    assert main(["batch", "in", "none", "--words", "blue", "--masks", "none"]) == 3


@pytest.mark.usefixtures("alone")
def test_a_list_of_names_comes_by_stdin(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("in/a.png\nin/b/c.png\n"))
    assert main(["batch", "-", "out", "--words", "red", "--write", "none"]) == 0
    with (here / "out" / "pictures.csv").open(newline="") as file:
        assert [row["folder"] for row in csv.DictReader(file)] == ["a", "b/c"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["in"], "a folder for the results"),
        (["in", "out", "--shard", "5/4"], "shard 5/4"),
        (["in", "out", "--shard", "x"], "give I/N"),
        (["in", "out", "--write", "overlays"], "did you mean 'overlay'"),
        (["in", "out", "--format", "cocoo"], "did you mean 'coco'"),
        (["in", "out", "--operation", "blurr face"], "did you mean 'blur'"),
        (["in", "out", "--operation", "blur face --radiu 8"], "did you mean 'radius'"),
        (["in", "out", "--operation", "blur"], "is about no word"),
        (["in", "out", "--words", "red; red"], "given twice"),
        (["list.csv", "out"], "no column `picture`"),
        (["gone.csv", "out"], "cannot be read"),
        (["good.csv", "out", "--threshold", "sky=0.3"], "of one word"),
        (["in", "out.csv"], "is a table"),
        (["in", "out", "--workers", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(
    here: Path, capsys: Any, arguments: list[str], what: str
) -> None:
    (here / "list.csv").write_text("image,words\na.png,red\n", encoding="utf-8")
    (here / "good.csv").write_text("picture\na.png\n", encoding="utf-8")
    assert main(["batch", *arguments]) == 2
    said = capsys.readouterr().err
    assert what in said
    assert said.count("\n") == 1
    assert not (here / "out").exists()
