"""The translated benchmark commands on photos, laid out as VOC and COCO-Stuff are published."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lexiseg import imaging
from lexiseg.cli import main
from lexiseg.datasets import dataset_info, open_set
from lexiseg.datasets.published.voc import CLASSES

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
PAGE = ROOT / "docs" / "how_to" / "evaluate.md"
SHORT = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "voc" / "val").is_dir(), reason="needs the photos of ../shared"),
]


def commands() -> list[str]:
    text = PAGE.read_text("utf-8")
    table = text[text.index("## What scripts call") : text.index("Ten photos are a trial")]
    return re.findall(r"\| `(lexiseg evaluate [^`]+)` \|", table)


def lay_out_voc(root: Path, count: int) -> None:
    """VOCdevkit/VOC2012 of some photos: JPEG, palette masks, and the list of the split."""
    data, folder = open_set(DATA / "voc"), root / "VOC2012"
    names = [SHORT.get(name, name) for name in data.classes]
    table = np.zeros(256, np.uint8)
    table[255] = 255
    for index, name in enumerate(names):
        table[index] = 0 if index == data.background_index else 1 + CLASSES.index(name)
    for sample in data.samples[:: len(data) // count][:count]:
        rgb = imaging.read(sample.path).rgb
        save(folder / "JPEGImages" / f"{sample.id}.jpg", rgb)
        labels = table[sample.labels(rgb.shape[:2])]
        save(folder / "SegmentationClass" / f"{sample.id}.png", labels, palette=True)
    ids = sorted(path.stem for path in (folder / "JPEGImages").iterdir())
    path = folder / "ImageSets" / "Segmentation" / "val.txt"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{one}\n" for one in ids))


def lay_out_stuff(root: Path, count: int) -> None:
    """COCO-Stuff 164k of some photos with things and stuff of names that it has."""
    data = open_set(DATA / "coco-panoptic")
    stuff: Any = dataset_info("coco-stuff164k")
    from lexiseg.datasets.published.coco_stuff import CLASSES as NAMES

    table = np.full(256, 255, np.uint8)
    for index, name in enumerate(data.classes):
        if name in NAMES:
            table[index] = NAMES.index(name)
    photos, masks = (path for path in ("images/val2017", "annotations/val2017"))
    assert any(photos in part.paths for part in stuff.splits[0].parts)
    for number, sample in enumerate(data.samples[:count]):
        rgb = imaging.read(sample.path).rgb
        save(root / photos / f"{number:012}.jpg", rgb)
        labels = table[sample.labels(rgb.shape[:2])]
        save(root / masks / f"{number:012}_labelTrainIds.png", labels)


def save(path: Path, pixels: Any, *, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([value for i in range(256) for value in (i * 7 % 256, i * 3 % 256, i)])
    image.save(path, quality=95)


def test_the_commands_for_voc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out_voc(tmp_path / "VOCdevkit", 10)
    monkeypatch.chdir(tmp_path)
    for line in commands()[:2]:
        assert main(shlex.split(line)[1:]) == 0
        found = json.loads(Path("report/results.json").read_text("utf-8"))
        assert found["photos"] == 10
        assert found["mean_iou_all"] > 0.3  # chance is below a twentieth
        assert found["pixel_accuracy"]["value"] > 0.7
        assert len(list(Path("report/visualizations").glob("*.png"))) == 10
        assert "Worst pictures" in Path("report/report.html").read_text("utf-8")


def test_the_command_for_coco_stuff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out_stuff(tmp_path / "coco_stuff164k", 3)
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(commands()[2])[1:]) == 0
    found = json.loads(Path("report/results.json").read_text("utf-8"))
    assert (found["photos"], len(found["class_names"])) == (3, 171)
    assert found["pixel_accuracy"]["value"] > 0.2
    assert found["provenance"]["config"]["window"] == 224
