"""The row edit-speed: what its probe measures, and how it is printed."""

from __future__ import annotations

import itertools
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import edit_probe, machine, tables
from benchmarks.machine import ROOT, Unmeasurable
from benchmarks.rows import row
from tests.edit_pictures import noise

from lexiseg import imaging

ONE = {"seconds": 1.234, "before_mb": 100, "peak_mb": 345}
COMMAND = {"seconds": 5.67, "exit": 0, "peak_mb": 890}


@pytest.mark.parametrize("task", edit_probe.TASKS)
def test_the_probe_edits_a_photo(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imaging.write(tmp_path / "a.png", noise((150, 200)))
    # A processor's clock may tick in steps longer than the edit of a small picture.
    monkeypatch.setattr(time, "process_time", itertools.count(2.5, 1.25).__next__)
    measured = edit_probe.main({"photo": str(tmp_path / "a.png"), "task": task})
    assert measured["seconds"] == 1.25
    assert measured["peak_mb"] >= measured["before_mb"] > 0


def test_the_outline_is_the_same_part_of_every_photo() -> None:
    for size_hw in ((300, 400), (757, 501)):
        mask = edit_probe.outline(size_hw)
        assert mask.shape == size_hw
        assert mask.mean() == pytest.approx(edit_probe.SHARE, rel=0.05)
        assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()


@pytest.mark.parametrize("base", [None, ROOT])
def test_the_row_runs_every_edit_in_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, base: Path | None
) -> None:
    module, jobs = row("edit-speed"), []

    def probe(job: dict[str, object], checkout: Path = ROOT) -> dict[str, object]:
        jobs.append(job)
        return dict(COMMAND if "argv" in job else ONE)

    monkeypatch.setattr(module, "probe", probe)
    monkeypatch.setattr(module, "output", lambda command: "0123456789")
    monkeypatch.setattr(module, "SIZE_WH", (80, 60))
    result = module.run(Namespace(device=None, base=base))
    assert {str(job["task"]) for job in jobs if "task" in job} == set(edit_probe.TASKS)
    assert list(result["edits"]) == ["blur", "background blur", "cut-out", "remove"]
    text = module.table(result)
    one, both = "| 1.23 s | 345 MB ", "| 5.67 s | 890 MB |"
    if base is None:
        assert f"| blur {one}{one}{both}" in text
        assert f"| cut-out {one}| - | - {both}" in text
    else:
        assert f"| cut-out {one}{one}| - | - {both}" in text
        assert text.endswith("Before: commit 0123456.")


def test_a_base_that_is_none() -> None:
    for name in ("edit-speed", "versions"):
        with pytest.raises(Unmeasurable, match="is no checkout of lexiseg and no commit"):
            row(name).run(Namespace(device=None, base=Path("nowhere"), rounds=1))


def test_a_commit_is_checked_out_for_as_long_as_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    source = tmp_path / "src" / "lexiseg" / "a.py"
    source.parent.mkdir(parents=True)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    machine.output([*git, "init", "-q"])
    for text in ("old", "new"):
        source.write_text(text)
        machine.output([*git, "add", "."])
        machine.output([*git, "commit", "-q", "-m", text])
    with machine.checkout(Path("HEAD~1")) as folder:
        assert (folder / "src" / "lexiseg" / "a.py").read_text() == "old"
    assert not folder.exists()
    assert source.read_text() == "new"
    assert len(machine.output(["git", "worktree", "list"]).splitlines()) == 1


def test_a_row_of_two_words_has_its_place_in_the_tables() -> None:
    name = "edit-speed-nowhere"
    assert "run edit-speed`" in tables.fill(f"<!-- results: {name} -->\n<!-- end -->\n")
