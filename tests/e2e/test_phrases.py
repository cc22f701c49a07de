"""Phrases through every door, with the bundled model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lexiseg
from lexiseg import cli

COWS = str(Path(__file__).parents[2] / "examples" / "photos" / "cows.jpg")


def test_segment_says_how_phrases_were_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["the largest cow", "everything but the sky", "sky"]
    assert cli.main(["segment", COWS, *words, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "cows" / "result.json").read_text("utf-8"))
    assert [one["read_as"] for one in result["phrases"]] == [
        "largest cow",
        "everything but not sky",
    ]
    labels = [one["word"] for one in result["instances"]]
    assert labels.count("the largest cow") == 1
    capsys.readouterr()


@pytest.mark.parametrize("command", [["segment", COWS], ["edit", COWS, "remove"]])
def test_a_phrase_that_nothing_meets_says_why_and_ends_with_3(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "blue cow", "--out", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert "blue cow: " in said
    assert "blue: " in said


def test_edit_takes_phrases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.png"
    given = ["edit", COWS, "mask", "the largest cow", "--words", "grass; sky", "--out", str(out)]
    assert cli.main(given) == 0
    mask = np.asarray(Image.open(out)) > 127
    seg = lexiseg.load("clip-then-sam")(COWS, ["cow", "grass", "sky"])
    assert 0 < mask.sum() < seg.pixels[0]
    capsys.readouterr()
