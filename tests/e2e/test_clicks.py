"""Points, boxes and mask methods through the command line, with a mask model that sees colours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.flood import FloodMasker

from lexiseg import imaging
from lexiseg.cli import main


@pytest.fixture
def photo(
    tmp_path: Path, colours: Any, stripes: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setattr("lexiseg.models.load_encoder", lambda *_, **__: colours)
    monkeypatch.setattr("lexiseg.models.load_masker", lambda *_, **__: FloodMasker())
    monkeypatch.chdir(tmp_path)
    imaging.write(tmp_path / "stripes.png", stripes)
    return tmp_path / "stripes.png"


def result(folder: str) -> dict[str, Any]:
    out: dict[str, Any] = json.loads(Path(folder, "result.json").read_text(encoding="utf-8"))
    return out


def test_points_and_boxes_without_words(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "stripes.png --point 5,5 --point 45,30 --box 60,0,85,64 --not-point 1,63 -v"
    assert main(["segment", *line.split()]) == 0
    assert "point 2" in capsys.readouterr().out
    out = result("lexiseg-out/stripes")
    assert out["provenance"]["method"] == "clip-then-sam"
    assert out["provenance"]["prompts"]["asked"] == 3
    names = [one["word"] for one in out["instances"]]
    assert names == ["point 2", "box 1"]  # the first point's stripe is what was not meant
    assert out["files"]["looked_at"] == "looked-at.png"
    assert Path("lexiseg-out/stripes/masks/point 2.png").is_file()


def test_points_refine_words_and_flags_reach_the_config(photo: Path) -> None:
    line = "stripes.png red blue --point 90,30 --min-confidence 0.5 --min-region-size 50"
    line += " --iou-threshold 0.7 --points-per-region 2 --negative-points 1"
    assert main(["segment", *line.split()]) == 0
    config = result("lexiseg-out/stripes")["provenance"]["config"]
    assert config["region_threshold"] == 0.5
    assert config["min_region_area"] == 50
    assert config["iou_threshold"] == 0.7
    assert config["points_per_region"] == 2
    assert config["negative_points"] == 1


def test_every_mask_is_drawn_beside_the_usual_files(photo: Path) -> None:
    line = "stripes.png red --method sam-then-clip --set points_per_side=6 --top-k 1"
    assert main(["segment", *line.split()]) == 0
    files = result("lexiseg-out/stripes")["files"]
    assert files["all_masks"] == "all_masks.png"
    cut = imaging.read("lexiseg-out/stripes/segmented.png")
    assert cut.alpha is not None
    np.testing.assert_array_equal(cut.alpha > 0, np.arange(96)[None].repeat(64, 0) < 40)
    assert main(["segment", "stripes.png", "red"]) == 0
    assert not Path("lexiseg-out/stripes/all_masks.png").exists()  # of the earlier run


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("--point 99,3", "96 pixels wide and 64 high"),
        ("--point=-5,3", "the point -5,3 lies outside"),
        ("--point -5,3", "the point -5,3 lies outside"),
        ("--box -5,-5,20,20", "the box -5,-5,20,20 does not lie in the picture"),
        ("--box 20,5,10,9", "give x0,y0,x1,y1 with x0 < x1"),
        ("--box 1,2,3", "--box takes X0,Y0,X1,Y1"),
        ("--point a,b", "--point takes X,Y"),
        ("red --method dense --point 1,1", "--method clip-then-sam"),
        ("red --iou-threshold 0.5", "--method clip-then-sam"),
        ("red --method dense --top-k 1", "--top-k is for grounded, sam-then-clip, sam3, not for"),
        ("red --method clip-then-sam --top-k 1", "add --method sam-then-clip"),
        ("red --method dense --method dense", "--method is given twice"),
        ("red --masker a --masker-checkpoint b", "give one"),
        ("--not-point 1,1", "no words to look for"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    photo: Path, capsys: pytest.CaptureFixture[str], line: str, complaint: str
) -> None:
    assert main(["segment", "stripes.png", *line.split()]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert complaint in message
