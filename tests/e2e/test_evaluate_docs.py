"""The commands of the page on evaluation that translate others' scripts, typed as they stand."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from tests import published_trees

from lexiseg.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "evaluate.md"


def test_the_translated_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text("utf-8")
    table = text[text.index("## What scripts call") : text.index("Ten photos are a trial")]
    lines = re.findall(r"\| `(lexiseg evaluate [^`]+)` \|", table)
    assert len(lines) == 3
    published_trees.voc(tmp_path / "VOCdevkit")
    published_trees.coco(tmp_path / "coco_stuff164k")
    monkeypatch.chdir(tmp_path)
    for place, line in enumerate(lines):
        assert main(shlex.split(line)[1:]) == 0
        content = json.loads(Path("report/results.json").read_text("utf-8"))
        assert content["command"] == line
        assert content["set"] == ("coco-stuff164k" if place == 2 else "voc21")
        method = content["provenance"]["method"]
        assert method == ("clip-then-sam" if place == 1 else "dense")
        assert content["photos"] == len(content["pictures"]) > 0
        drawn = sorted(path.stem for path in Path("report/visualizations").rglob("*.png"))
        assert place == 2 or drawn == sorted(one["id"] for one in content["pictures"])
        if place == 2:
            config = content["provenance"]["config"]
            assert (config["window"], config["stride"]) == (224, 112)
        assert "mean IoU" in capsys.readouterr().out
    line = "lexiseg evaluate clip-then-sam --data voc21 --root VOCdevkit --limit 10 --save-vis"
    assert line in text
    assert main(shlex.split(line)[1:]) == 0
    assert len(list(Path("report-clip-then-sam-voc21/visualizations").iterdir())) == 2


@pytest.mark.slow
def test_several_processes_count_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published_trees.voc(tmp_path / "VOCdevkit")
    monkeypatch.chdir(tmp_path)
    found = []
    for jobs in (1, 2):
        line = f"evaluate tiny --data voc21 --root VOCdevkit --jobs {jobs} --out r{jobs}"
        assert main(line.split()) == 0
        found.append(json.loads(Path(f"r{jobs}/results.json").read_text("utf-8")))
    counts = [[(one["id"], one["counts"]) for one in run["pictures"]] for run in found]
    assert [name for name, _ in counts[0]] == [name for name, _ in counts[1]]
    areas = [np.array([row for _, rows in run for row in rows]).sum(0) for run in counts]
    np.testing.assert_allclose(*areas, rtol=0.01)  # threads add up in another order
