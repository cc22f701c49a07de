"""What the runner of the benchmarks does beside measuring: needs, other commits, machines."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path

import pytest
from benchmarks import compare, machine, needs, store, tables
from benchmarks.__main__ import main
from benchmarks.machine import Unmeasurable
from benchmarks.rows import row

from lexiseg.training import wordnet

NOTHING = Namespace(data=[], base=None, split="val", limit=None)


def test_no_row_starts_before_all_have_what_they_need(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(tables, "update", list)
    monkeypatch.setattr(wordnet, "_FOLDERS", (str(tmp_path / "nowhere"),))
    from benchmarks import vocabulary

    vocabulary.wordnet.cache_clear()
    started = []
    for name in ("speed", "versions", "crops"):
        monkeypatch.setattr(row(name), "run", lambda options, name=name: started.append(name) or {})
    monkeypatch.setattr(row("crops"), "table", lambda result: "")
    out = tmp_path / "results"
    assert main(["run", "--only", "speed,crops", "--only", "versions", "--out", str(out)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("speed: left out; WordNet's index.noun was not found")
    assert said[1] == "versions: left out; it needs --base, another checkout of lexiseg or a commit"
    assert said[2].startswith("crops: ")
    assert started == ["crops"]
    assert [path.name for path in out.iterdir()] == ["crops-tiny.json"]
    vocabulary.wordnet.cache_clear()


def test_needs_name_what_is_missing(tmp_path, monkeypatch):
    assert needs.missing("accuracy", NOTHING) == (
        "it needs --data DIR, a data set or a folder of them"
    )
    given = Namespace(**{**vars(NOTHING), "data": [tmp_path]})
    assert needs.missing("accuracy", given) is None
    assert "the set celebamask" in str(needs.missing("parts", given))
    (tmp_path / "celebamask").mkdir()
    assert needs.missing("parts", given) is None
    assert "val/instances.json" in str(needs.missing("instances", given))
    assert "mobilenet" in str(needs.missing("oneshot", given))
    monkeypatch.setattr(needs, "find_spec", lambda name: None)
    assert "pip install -c constraints.txt transformers" in str(needs.missing("prompts", given))


def test_an_unknown_row_is_told(capsys):
    assert main(["run", "--only", "sped"]) == 2
    assert "did you mean 'speed'" in capsys.readouterr().err


def test_ratios_of_rounds():
    middle, low, high = compare.ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0])
    assert (middle, low, high) == pytest.approx((2, 2, 2))
    # Logarithms 0 and log 4: mean log 2, standard error log 2, times 12.706.
    middle, low, high = compare.ratio([1.0, 1.0], [1.0, 4.0])
    assert middle == pytest.approx(2)
    assert math.log(high / low) == pytest.approx(2 * 12.706 * math.log(2))
    assert math.isnan(compare.ratio([0.0], [1.0])[0])


def test_figures_are_times_and_memories():
    result = {"small": {"warm_s": 0.5, "words": 20, "peak_mb": 400}, "lines": [{"seconds": 2}]}
    assert compare.figures(result) == {
        "small.warm_s": 0.5, "small.peak_mb": 400, "lines.0.seconds": 2,
    }  # fmt: skip


def test_two_commits_take_turns(monkeypatch, tmp_path):
    order = []

    def measured(name: str, tree: Path, arguments: list[str]) -> dict[str, float]:
        order.append("now" if tree == machine.ROOT else "before")
        return {"warm_s": 2.0 if order[-1] == "now" else 4.0, "new_s": 1.0}

    monkeypatch.setattr(compare, "_run", measured)
    text = compare.compare("speed", "HEAD", Namespace(rounds=3), [])
    assert order == ["before", "now", "now", "before", "before", "now"]
    assert "| warm_s | 4 | 2 | 0.500 | 0.500 to 0.500 |" in text
    with pytest.raises(Unmeasurable, match="no-such is no checkout of lexiseg and no commit"):
        compare.compare("speed", "no-such", Namespace(rounds=1), [])


def test_results_of_other_machines_stay_beside_the_newest(monkeypatch, tmp_path):
    machines = {"a": {"cpu": "A", "cores": 2}, "b": {"cpu": "B", "cores": 2}}
    full = {"amx": False, "torch": "2", "load": 0.0}
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    result = {
        "small": {"size_wh": [640, 480], "words": 20, "first_s": 2.0, "warm_s": 0.1, "runs": 3,
                  "peak_mb": 400},
        "command_s": 3.0, "import_s": 0.01,
    }  # fmt: skip
    for place, warm in (("a", 0.1), ("b", 0.2), ("a", 0.3)):
        monkeypatch.setattr(machine, "describe", lambda device, at=place: machines[at] | full)
        result["small"]["warm_s"] = warm
        path = store.write("speed-tiny", "a command", result, several=True)
    content = json.loads(path.read_text("utf-8"))
    assert [one["machine"]["cpu"] for one in content["others"]] == ["B"]
    page = tables.page()
    assert "| 640x480, 20 words: warm, median of 3 | 300 ms | 200 ms |" in page
    assert "| what | A, 2 cores," in page
