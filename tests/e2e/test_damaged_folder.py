"""A folder of damaged files of every kind through the command: no crash, hang or half result."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.colour_finder import COLOURS, ColourFinder, View, stand_in
from tests.unit.test_imaging_damage import chunk, import_path, mutations

from lexiseg import imaging
from lexiseg.cli import main


def find_bright(patch: pytest.MonkeyPatch) -> None:
    """Let the model call bright pixels red, which most damaged pictures have."""
    stand_in(patch)
    call = ColourFinder.__call__

    def bright(self: ColourFinder, image: Any, words: Any, **options: Any) -> Any:
        picture = image.picture if isinstance(image, View) else image
        red = np.where(picture.rgb[..., :1] > 127, COLOURS["red"], 0).astype(np.uint8)
        return call(self, replace(picture, rgb=red), words, **options)

    patch.setattr(ColourFinder, "__call__", bright)


def fill(folder: Path, count: int, seed: int) -> dict[str, str]:
    """Write damaged files under right and wrong names; return what each was."""
    rng = np.random.default_rng(seed)
    endings = sorted(imaging.SUFFIXES)
    folder.mkdir()
    names = {}
    for number, (kind, data) in enumerate(mutations(folder.parent, count, seed)):
        if data.startswith(b"\x89PNG") and rng.random() < 0.3:
            odd = chunk(rng.bytes(4), rng.bytes(int(rng.integers(0, 50))))
            at = int(rng.choice([8, 33]))
            data = data[:at] + odd[: len(odd) - int(rng.integers(0, 2))] + data[at:]
        name = f"{number:04}{rng.choice(endings)}"
        (folder / name).write_bytes(data)
        names[str(folder / name)] = kind
    return names


def run_all(work: Path, count: int, seed: int) -> dict[str, int]:
    """Segment and edit a folder of damaged files; return how many were done and how many failed."""
    names = fill(work / "in", count, seed)
    total = {"done": 0, "failed": 0}
    for line in (["segment", "--words", "red"], ["edit", str(work / "in"), "blur", "red"]):
        command = line[0]
        line += [str(work / "in")] if command == "segment" else ["--background", "none"]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*line, "--max-pixels", "1000000", "--json", "--out", str(work / command)])
        assert out.getvalue(), err.getvalue()[-1000:]
        document = json.loads(out.getvalue())
        check(document, code, names, err.getvalue(), work / command)
        total["done"] += len(document["pictures"]) + len(document.get("not_found", []))
        total["failed"] += len(document["failed"])
    return total


def check(document: dict[str, Any], code: int, names: dict[str, str], said: str, out: Path) -> None:
    done = [one["picture"] for one in document["pictures"]]
    failed = [one["picture"] for one in document["failed"]]
    nothing = [one["picture"] for one in document.get("not_found", [])]
    assert code == 1
    assert sorted(done + failed + nothing) == sorted(names)
    lines = said.splitlines()
    assert all(line.startswith("lexiseg: ") and line.isprintable() for line in lines)
    for name in failed:
        about = [line for line in lines if name in line]
        assert len(about) == 1, about
        assert "fault in lexiseg" not in about[0], (names[name], about)
    written = {path for path in out.rglob("*") if path.is_file()}
    told: set[Path] = set()
    for one in document["pictures"]:
        if "folder" in one:
            folder = Path(one["folder"])
            result = json.loads((folder / "result.json").read_text("utf-8"))
            assert "complete" not in result
            files = [*result["files"]["masks"].values(), "result.json", "overlay.png", "labels.png"]
            told |= {folder / name for name in files}
        else:
            told |= set(map(Path, one["files"]))
    assert told == written
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]


def test_a_folder_of_damaged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_bright(monkeypatch)
    found = run_all(tmp_path, 100, seed=2)  # each is segmented, and edited
    assert min(found.values()) > 40


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_2000_damaged_files_in_one_process(tmp_path: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; import pytest;"
        "from benchmarks.machine import peak_mb;"
        "from tests.e2e.test_damaged_folder import find_bright, run_all;"
        "find_bright(pytest.MonkeyPatch());"
        "found = run_all(Path(sys.argv[1]), 2000, seed=3);"
        "print(json.dumps({**found, 'megabytes': peak_mb()}))"
    )
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": import_path()},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    found = json.loads(run.stdout)
    assert found["done"] + found["failed"] == 4000
    assert min(found["done"], found["failed"]) > 500
    assert found["megabytes"] < 1000
