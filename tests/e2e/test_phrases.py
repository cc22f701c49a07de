"""Phrases through every door, with the bundled model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lexiseg
from lexiseg import cli
from lexiseg.masks import Masks

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
COWS, PETS = str(PHOTOS / "cows.jpg"), str(PHOTOS / "pets.jpg")


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
    given = ["edit", PETS, "mask", "dog on the left", "--words", "grass", "--out", str(out)]
    assert cli.main(given) == 0
    mask = np.asarray(Image.open(out)) > 127
    dogs = lexiseg.load("tiny")(PETS, ["dog", "grass"])["dog"]
    left = dogs[[int(dogs.boxes_xyxy[:, 0].argmin())]]
    assert left.iou(Masks.from_dense(mask[None])).item() > 0.9
    assert len(dogs) == 2
    capsys.readouterr()


def test_segment_edit_and_python_find_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["cow", "grass", "sky"]
    seg = lexiseg.load("tiny")(COWS, words)
    assert cli.main(["segment", COWS, *words, "--out", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "cows" / "result.json").read_text("utf-8"))["instances"]
    assert [one["word"] for one in written] == seg.labels.tolist()
    assert [one["area"] for one in written] == seg.masks.areas.tolist()
    given = ["edit", COWS, "mask", "cow", "--words", "grass; sky", "--out"]
    assert cli.main([*given, str(tmp_path / "mask.png")]) == 0
    edited = np.asarray(Image.open(tmp_path / "mask.png")) > 127
    np.testing.assert_array_equal(edited, seg.mask("cow") | seg["cow"].union())
    capsys.readouterr()
