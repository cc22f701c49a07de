"""docs/architecture.md: its examples run, and calls enter no more files than it says."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from docs.make import walk

import lexiseg
from lexiseg import imaging, models
from lexiseg.registry import methods

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
EXAMPLES = dict(
    re.findall(
        r"<!-- not run: the (.+?) -->\n```python\n(.*?)^```",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
)
# Files entered by a call; fewer is better, and more needs a reason.
CEILINGS = {"dense": 24, "clip-then-sam": 22}  # 10 of dense tell touching things apart


@pytest.fixture
def stripes() -> np.ndarray:
    mask = np.repeat(np.arange(3), 24)[None].repeat(48, 0)
    return (np.eye(3, dtype=np.uint8)[mask] * 255).astype(np.uint8)


def test_the_drawing_shows_every_room_in_the_order_of_the_import_contracts() -> None:
    drawing = PAGE.read_text("utf-8").split("```text\n", 1)[1].split("```", 1)[0]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    layers = next(one["layers"] for one in contracts["contracts"] if one["type"] == "layers")
    below = -1
    for layer in layers:
        rooms = [room for room in re.findall(r"\w+", layer) if not room.startswith("_")]
        places = [re.search(rf"(?:  |\d ){room}(?![\w-])", drawing) for room in rooms]
        assert None not in places, (layer, drawing)
        starts = [place.start() for place in places if place is not None]
        assert not starts or min(starts) > below, layer
        below = max([below, *starts])
    for folder in ("methods", "models"):
        for file in (ROOT / "src" / "lexiseg" / folder).iterdir():
            if file.suffix in ("", ".py") and not file.name.startswith(("__", ".")):
                shared = folder == "models" and file.name.startswith("_")
                assert shared or re.search(rf"(?<!\w){file.stem}(?!\w)", drawing), file


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
        photo = imaging.read(ROOT / "examples" / "photos" / "cat.jpg").rgb
        small = imaging.resize_image(photo, (photo.shape[0] // 2, photo.shape[1] // 2))
        out = segmenter(small, ["cat", "aeroplane", "bottle"])
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
