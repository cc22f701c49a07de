"""Exports, read back by other programs: Pillow, json, pycocotools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import lexiseg
from lexiseg import imaging, visualize
from lexiseg.errors import OutputError, PictureError, WordNotAsked
from lexiseg.export import SCHEMA_VERSION, coco_json, file_names, result_json, save_label_map
from lexiseg.masks import Masks
from lexiseg.results import Provenance, Segmentation, UnknownWord

# pycocotools decodes in a way that NumPy 2 is about to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LABEL_MAP = np.array(
    [
        [2, 2, 2, 2, 2, 2],
        [2, 0, 0, -1, 2, 2],
        [1, 0, 0, 1, 0, 0],
        [1, 1, 1, 1, 0, 0],
    ],
    np.int16,
)
LEFT, RIGHT = (LABEL_MAP == 0) & (np.arange(6) < 4), (LABEL_MAP == 0) & (np.arange(6) >= 4)


def some_result(**changes: Any) -> Segmentation:
    parts: dict[str, Any] = {
        "words": ("dog", "grass", "größe 犬", "unicorn"),
        "labels": np.array(["dog", "dog", "größe 犬"]),
        "scores": np.array([0.9, 0.1 + 0.2, 0.7], np.float32),
        "masks": Masks.from_dense(np.stack([LEFT, RIGHT, LABEL_MAP == 2])),
        "label_map": LABEL_MAP,
        "word_scores": np.array([0.9, 0.3, 0.7, 0.0], np.float32),
        "unknown": (UnknownWord("unicorn", ("horse", "zebra"), 0.41),),
        "image": np.full((4, 6, 3), 90, np.uint8),
        "provenance": Provenance(method="dense", encoder="tiny", seconds={"encode": 0.5}),
    }
    return Segmentation(**{**parts, **changes})


def test_label_map_shows_colours_and_holds_indices_and_names(tmp_path: Path) -> None:
    seg, path = some_result(), tmp_path / "labels.png"
    save_label_map(seg, path)
    with Image.open(path) as image:
        assert image.mode == "P"
        names = json.loads(image.text["words"])
        values = np.array(image)
    np.testing.assert_array_equal(values, LABEL_MAP + 1)
    assert names == {"0": "unlabelled", "1": "dog", "2": "grass", "3": "größe 犬", "4": "unicorn"}
    colours = np.concatenate([[[0, 0, 0]], visualize.palette(seg.words)])
    np.testing.assert_array_equal(imaging.read(path).rgb, colours[LABEL_MAP + 1])


def test_label_map_of_some_words_keeps_their_values(tmp_path: Path) -> None:
    save_label_map(some_result(), tmp_path / "labels.png", only=["grass", "unicorn"])
    with Image.open(tmp_path / "labels.png") as image:
        np.testing.assert_array_equal(np.array(image), np.where(LABEL_MAP == 1, 2, 0))
        assert json.loads(image.text["words"])["1"] == "dog"
    with pytest.raises(WordNotAsked):
        save_label_map(some_result(), tmp_path / "labels.png", only=["cat"])


@pytest.mark.parametrize(("count", "mode"), [(255, "P"), (256, "I;16"), (1000, "I;16")])
def test_label_map_of_many_words(tmp_path: Path, count: int, mode: str) -> None:
    label_map = np.arange(-1, count, dtype=np.int32).repeat(2)[None].repeat(3, axis=0)
    seg = some_result(
        words=tuple(f"word {i}" for i in range(count)),
        labels=np.array([], str),
        scores=np.zeros(0, np.float32),
        masks=Masks.empty((3, 2 * count + 2)),
        label_map=label_map,
        word_scores=np.zeros(count, np.float32),
        unknown=(),
        image=None,
    )
    save_label_map(seg, tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == mode
        assert json.loads(image.text["words"])[str(count)] == f"word {count - 1}"
        np.testing.assert_array_equal(np.array(image), label_map + 1)


def test_label_map_is_a_png(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"end it in \.png"):
        save_label_map(some_result(), tmp_path / "labels.jpg")


def test_result_json_says_everything(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    imaging.write(path, np.zeros((4, 6, 3), np.uint8))
    out = result_json(some_result(), picture=imaging.read(path), files={"overlay": "overlay.png"})
    again = json.loads(json.dumps(out, allow_nan=False))
    rles = [instance.pop("rle") for instance in again["instances"]]
    assert again == {
        "schema_version": SCHEMA_VERSION,
        "image": {"file_name": "photo.png", "height": 4, "width": 6, "notes": []},
        "vocabulary": [
            {
                "word": word,
                "index": index,
                "score": score,
                "share": pytest.approx(pixels / 24, abs=1e-6),
                "pixels": pixels,
                "known": known,
            }
            for index, (word, score, pixels, known) in enumerate(
                [
                    ("dog", 0.9, 8, True),
                    ("grass", 0.3, 6, True),
                    ("größe 犬", 0.7, 9, True),
                    ("unicorn", 0.0, 0, False),
                ]
            )
        ],
        "instances": [
            {"word": "dog", "score": 0.9, "quality": None, "area": 4, "box_xywh": [1, 1, 2, 2]},
            {"word": "dog", "score": 0.3, "quality": None, "area": 4, "box_xywh": [4, 2, 2, 2]},
            {
                "word": "größe 犬",
                "score": 0.7,
                "quality": None,
                "area": 9,
                "box_xywh": [0, 0, 6, 2],
            },
        ],
        "unknown": [
            {"word": "unicorn", "nearest": ["horse", "zebra"], "similarity": 0.41, "is_name": False}
        ],
        "files": {"overlay": "overlay.png"},
        "phrases": [],
        "provenance": some_result().provenance.to_json(),
    }
    for rle, mask in zip(rles, (LEFT, RIGHT, LABEL_MAP == 2), strict=True):
        np.testing.assert_array_equal(coco_mask.decode(rle), mask)


def test_result_json_of_some_words() -> None:
    seg = some_result(quality=np.array([0.5, 0.25, 0.75], np.float32))
    out = result_json(seg, only=["größe 犬", "grass", "grass"])
    assert out["image"] == {"file_name": None, "height": 4, "width": 6, "notes": []}
    assert [entry["word"] for entry in out["vocabulary"]] == ["größe 犬", "grass"]
    assert [entry["index"] for entry in out["vocabulary"]] == [2, 1]
    assert [(entry["word"], entry["quality"]) for entry in out["instances"]] == [("größe 犬", 0.75)]
    assert out["unknown"] == []
    with pytest.raises(WordNotAsked):
        result_json(seg, only=["cat"])


def test_coco_is_read_by_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = some_result(
        words=("sky", "dog"),
        labels=np.array(["dog"]),
        scores=np.array([0.5], np.float32),
        masks=Masks.from_dense(np.ones((1, 3, 2), bool)),
        label_map=np.ones((3, 2), np.int32),
        word_scores=np.array([0, 0.5], np.float32),
        unknown=(),
        image=None,
    )
    path = tmp_path / "instances.json"
    made = coco_json([("a/photo.jpg", some_result()), ("b.png", other)])
    imaging.write_text(path, json.dumps(made))
    data = COCO(str(path))
    names = {number: entry["name"] for number, entry in data.cats.items()}
    assert names == {1: "dog", 2: "grass", 3: "größe 犬", 4: "unicorn", 5: "sky"}
    assert [(i["id"], i["file_name"], i["height"], i["width"]) for i in data.imgs.values()] == [
        (1, "a/photo.jpg", 4, 6),
        (2, "b.png", 3, 2),
    ]
    expected = [(LEFT, "dog", 1), (RIGHT, "dog", 1), (LABEL_MAP == 2, "größe 犬", 1)]
    expected.append((np.ones((3, 2), bool), "dog", 2))
    assert len(data.anns) == 4
    for number, (mask, word, image_id) in enumerate(expected, 1):
        annotation = data.anns[number]
        np.testing.assert_array_equal(data.annToMask(annotation), mask)
        assert names[annotation["category_id"]] == word
        assert annotation["image_id"] == image_id
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"] == coco_mask.toBbox(annotation["segmentation"]).tolist()
    assert len(data.loadRes(made["annotations"]).anns) == 4
    capsys.readouterr()  # pycocotools reports its progress on stdout


def test_coco_of_one_picture() -> None:
    seg = some_result()
    made = lexiseg.to_coco(seg, "photo.jpg", 7)
    assert made == coco_json([("photo.jpg", seg)], first_image_id=7)
    assert made["images"] == [{"id": 7, "file_name": "photo.jpg", "height": 4, "width": 6}]


def test_an_overlay_is_saved(tmp_path: Path) -> None:
    seg, photo = some_result(image=None), np.full((4, 6, 3), 90, np.uint8)
    plain = lexiseg.overlay(seg, photo, legend=False, outlines=False)
    assert plain.shape == (4, 6, 3)
    lexiseg.save_overlay(seg, tmp_path / "a.png", photo, legend=False, outlines=False)
    np.testing.assert_array_equal(imaging.read(tmp_path / "a.png").rgb, plain)
    lexiseg.save_overlay(some_result(image=photo), tmp_path / "b.png")
    figure = lexiseg.overlay(seg, photo)
    np.testing.assert_array_equal(imaging.read(tmp_path / "b.png").rgb, figure)
    with pytest.raises(PictureError, match="keeps no photo"):
        lexiseg.save_overlay(seg, tmp_path / "c.png")
    with pytest.raises(OutputError, match="end it in one of"):
        lexiseg.save_overlay(seg, tmp_path / "out.xyz", photo)


def test_masks_of_words_are_saved(tmp_path: Path) -> None:
    seg = some_result()
    files = lexiseg.save_masks(seg, tmp_path / "masks")
    assert {word: path.name for word, path in files.items()} == {
        "dog": "dog.png",
        "grass": "grass.png",
        "größe 犬": "größe 犬.png",
    }
    assert sorted((tmp_path / "masks").iterdir()) == sorted(files.values())
    for word, path in files.items():
        with Image.open(path) as image:
            np.testing.assert_array_equal(
                np.array(image.convert("L")), 255 * (seg.index(word) == LABEL_MAP)
            )
    assert list(lexiseg.save_masks(seg, tmp_path / "few", ["unicorn", "dog", "dog"])) == ["dog"]
    with pytest.raises(WordNotAsked):
        lexiseg.save_masks(seg, tmp_path / "none", ["cat"])


def test_file_names_are_safe_and_distinct() -> None:
    words = [
        "red car",
        "a/b",
        "a\\b",
        "../../etc",
        "con",
        "é" * 90,
        "Dog",
        "dog",
        "...",
        "猫",
        "a:b",
    ]
    names = file_names(words)
    assert names[0] == "red car"
    assert names[1:3] == ["a_b", "a_b-2"]
    assert "/" not in names[3]
    assert not names[3].startswith(".")
    assert names[4] == "_con"
    assert len(names[5].encode()) <= 100
    assert names[5] == "é" * 50
    assert names[6:] == ["Dog", "dog-2", "_", "猫", "a_b-3"]
    assert len({name.casefold() for name in names}) == len(words)
