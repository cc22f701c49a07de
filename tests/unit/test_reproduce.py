"""Published numbers: every command of the table is one that can be typed, and rows run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from docs.make import reproduced
from tests import published_trees
from torch.utils.flop_counter import FlopCounterMode

from lexiseg import checkpoints, loading
from lexiseg.cli import main
from lexiseg.cli.evaluate import parse
from lexiseg.cli.reproduce import config_of
from lexiseg.datasets import dataset_info
from lexiseg.evaluation.published_results import PAPERS
from lexiseg.evaluation.reproduce import (
    MEASURES,
    _transformer,
    arguments,
    command,
    found_values,
    gigaflops,
    pictures,
    weights_needs,
)
from lexiseg.prompts import named

ROWS = [row for paper in PAPERS.values() for row in paper.rows.values()]
PHRASES = ["clipseg", "phrasecut-pc+", "--encoder", "tiny"]


def test_every_command_is_one_that_can_be_typed() -> None:
    methods = {one.name: one for one in loading.list_methods()}
    for row in ROWS:
        info = dataset_info(row.data)
        assert set(row.published) <= set(MEASURES), row.name
        assert row.source, row.name
        if not row.options:
            assert row.note.startswith("no command: "), row.name
            assert command(row) == ""
            continue
        typed = shlex.split(command(row))
        assert typed[:2] == ["lexiseg", "evaluate"]
        args = parse(typed[2:])  # the real parser
        preset, _, data_set = (args.preset or "").partition("@")
        assert not preset or preset in methods[args.method].presets, row.name
        assert not data_set or (data_set == row.data and preset), row.name
        assert args.vocabulary is None or f"{info.vocabulary}.{args.vocabulary}" in named.names()
        config = config_of(typed[1:])  # the Config is built as the command builds it
        needs = weights_needs(config)
        assert needs, row.name
        assert all(need.name in checkpoints.names() for need in needs)
        assert gigaflops(config, row.data) > 10
        assert pictures(info) is not None or info.kind == "phrases"


def test_commands_set_what_the_papers_set() -> None:
    settings = {
        ("sclip", "voc21"): {"readout": "sclip", "logit_scale": 65.0, "area_threshold": 0.1},
        ("naclip", "voc20-without-pamr"): {"readout": "naclip", "refine": "none"},
        ("resclip", "context60"): {"rcs": (2.0, 0.3), "first_threshold": 0.3},
        ("trident", "cityscapes-h14"): {"halves": True, "cos_factor": 3.0, "short_side": 688},
        ("clip-guided-sam2", "coco-stuff"): {"window": 224, "stride": 112, "short_side": 448},
        ("open-vocabulary-generative", "voc"): {"min_quality": 0.88, "scoring": "features"},
    }
    for (paper, name), fields in settings.items():
        config = config_of(arguments(PAPERS[paper].rows[name]))
        assert {key: getattr(config, key) for key in fields} == fields


def test_operations_are_those_of_a_transformer() -> None:
    width, tokens = 384, 50
    layer = torch.nn.TransformerEncoderLayer(width, 6, 4 * width, batch_first=True)
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(1, tokens, width))
    assert _transformer("s", tokens) * 1e9 == pytest.approx(12 * counter.get_total_flops())
    # 500 x 375 becomes 448 x 336: 3 x 2 windows of 14 x 14 cells and one token more.
    sclip = config_of(arguments(PAPERS["sclip"].rows["voc20"]))
    assert gigaflops(sclip, "voc20") == pytest.approx(6 * _transformer("b", 197))
    # ViT-B/16 at 224 pixels: 17.5 billion multiplications and additions.
    assert _transformer("b", 197) == pytest.approx(2 * 17.5, rel=0.02)


def test_lists_and_needs_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "cache"))
    assert main(["reproduce", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == len(ROWS)
    assert main(["reproduce"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in PAPERS)
    assert main(["reproduce", "clipseg"]) == 0
    assert "(no command)" in capsys.readouterr().out
    published_trees.voc(tmp_path)
    row = ["reproduce", "sclip", "voc21", "--root", str(tmp_path), "--dry-run"]
    assert main([*row, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    here = {need["name"]: need["here"] for need in plan["needs"]}
    assert here == {"clip-vit-b16.openai": False, "voc21": True}
    assert plan["estimate"]["photos"] == 1449
    assert plan["estimate"]["least_seconds"] > 0
    assert main(row) == 0
    said = capsys.readouterr().out
    assert "lexiseg models pull clip-vit-b16.openai" in said
    assert "here, 2 of 1,449" in said  # a tree of two photos is no VOC
    assert main([*row[:-1]]) == 4
    assert "needs the weights clip-vit-b16.openai (351 MB)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["sclp"], 2, "did you mean 'sclip'"),
        (["sclip", "voc"], 2, "no row of sclip is named 'voc'"),
        (["clipseg", "coco20i"], 2, "cannot be measured: no command: a net a fold"),
        (["sclip", "--dry-run"], 2, "--dry-run is for one row"),
        ([*PHRASES, "--root", "."], 2, "needs the data phrasecut-clipseg"),
    ],
)
def test_what_cannot_run_is_told_in_a_line(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", *arguments]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_row_runs_and_stands_beside_what_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published_trees.phrasecut(tmp_path)
    out = tmp_path / "out"
    run = ["reproduce", *PHRASES, "--root", str(tmp_path), "--limit", "2", "--out", str(out)]
    assert main([*run, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    results = json.loads((out / "results.json").read_text("utf-8"))
    assert found["found"]["mIoU"] == pytest.approx(
        100 * results["clipseg"]["mean_iou_0.3"], abs=1e-3
    )
    assert found["difference"]["AP"] == pytest.approx(found["found"]["AP"] - 76.7, abs=1e-3)
    assert "--encoder tiny" in results["command"]
    assert "clipseg-rd64" not in results["command"]
    assert main([*run, "--resume"]) == 0
    said = capsys.readouterr().out
    assert "76.70" in said
    assert "a trial" in said


def test_measures_are_found_in_every_kind_of_results() -> None:
    rows = PAPERS["clipseg"].rows
    episodes = {"mean": {"mean_iou": 0.5, "fb_iou": 0.75}}
    assert found_values(rows["pascal5i"], episodes) == {"mIoU": 50, "IoU_BIN": 75, "AP": None}
    own = {"clipseg": {"mean_iou_0.3": 0.25, "iou_bin_0.3": 0.5, "ap": 1.0}}
    found = found_values(rows["pascal5i"], episodes | own)
    assert found == {"mIoU": 25, "IoU_BIN": 50, "AP": 100}
    dense = PAPERS["clip-guided-sam2"].rows["voc-dense"]
    semantic = {
        "mean_iou_all": 0.5, "pixel_accuracy": {"value": 0.75}, "mean_accuracy_all": None,
        "seconds_per_picture": 1.25,
    }  # fmt: skip
    assert found_values(dense, semantic) == {
        "mIoU": 50, "pixel accuracy": 75, "mean accuracy": None, "seconds": 1.25,
    }  # fmt: skip


def test_the_page_shows_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    results = {"result": {"rows": {"sclip/voc20": {"found": {"mIoU": 81.5}}}}}
    fake = SimpleNamespace(names=lambda: ["reproduce-tiny"], read=lambda name: results)
    monkeypatch.setattr(reproduced, "store", fake)
    reproduced._measured.cache_clear()
    try:
        lines = reproduced.table("sclip").splitlines()
    finally:
        reproduced._measured.cache_clear()
    shown = next(line for line in lines if line.startswith("| `voc20`"))
    assert "| mIoU 81.50 |" in shown
    other = next(line for line in lines if line.startswith("| `ade20k`"))
    assert "not run: needs clip-vit-b16.openai (351 MB) and ade20k (0.9 GB)" in other
