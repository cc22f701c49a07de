"""docs/architecture.md: its examples run, and calls enter no more files than it says."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from docs.make import walk

import lexiseg
from lexiseg import models
from lexiseg.registry import methods

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
EXAMPLES = dict(
    re.findall(
        r"<!-- not run: the (.+?) -->\n```python\n(.*?)^```",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
)
# Files entered by a call; fewer is better, and more needs a reason.
CEILINGS = {"dense": 13, "clip-then-sam": 22}


@pytest.fixture
def stripes() -> np.ndarray:
    mask = np.repeat(np.arange(3), 24)[None].repeat(48, 0)
    return (np.eye(3, dtype=np.uint8)[mask] * 255).astype(np.uint8)


def test_the_method_of_the_page_is_a_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stripes: np.ndarray
) -> None:
    file = tmp_path / "whole_image.py"
    file.write_text(EXAMPLES["file src/lexiseg/methods/whole_image.py"], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    methods.cache_clear()
    try:
        methods().register("whole-image", "whole_image")
        segmenter = lexiseg.load("whole-image")
        photo = Path(__file__).resolve().parents[2] / "examples" / "photos" / "cat.jpg"
        out = segmenter(photo, ["cat", "aeroplane", "bottle"])
        assert out.found == ("cat",)
        assert out.share("cat") == 1
        assert out.provenance.method == "whole-image"
        assert "whole-image" in {one.name for one in lexiseg.list_methods()}
    finally:
        methods.cache_clear()
        sys.modules.pop("whole_image", None)


def test_the_model_and_the_data_set_of_the_page_work_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stripes: np.ndarray
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "mean_colour.py").write_text(
        EXAMPLES["file src/lexiseg/models/mean_colour.py"], encoding="utf-8"
    )
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(package)])
    monkeypatch.chdir(tmp_path)
    for what in ("folder of a checkpoint", "folder of a data set"):
        exec(EXAMPLES[what], {})
    try:
        segmenter = lexiseg.load("dense", encoder="./my-colours")
        out = segmenter(stripes, ["red", "green", "blue"], background=None)
        np.testing.assert_array_equal(out.semantic()[24], np.repeat([0, 1, 2], 24))
        measured = lexiseg.evaluate(segmenter, "stripes")
        assert measured.score.to_json()["mean_iou_all"] == 1
    finally:
        sys.modules.pop("lexiseg.models.mean_colour", None)


@pytest.mark.parametrize("way", sorted(CEILINGS))
def test_a_call_enters_few_files(way: str) -> None:
    files = walk.walk(way)
    assert len(files) <= CEILINGS[way], " -> ".join(files)
    for name in files:
        assert import_module("lexiseg." + name.removesuffix(".py").replace("/", "."))
