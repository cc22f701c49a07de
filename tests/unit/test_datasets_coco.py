"""Class masks from COCO's instances.json, against hand-drawn shapes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lexiseg.datasets import find_sets, open_set
from lexiseg.datasets.annotations import fill_polygons
from lexiseg.errors import InputError
from lexiseg.masks import Masks

SQUARE = [1.0, 1.0, 5.0, 1.0, 5.0, 3.0, 1.0, 3.0]  # x 1..4, y 1..2


@pytest.fixture
def content():
    return {
        "images": [
            {"id": 7, "file_name": "images/a.png", "height": 5, "width": 8},
            {"id": 9, "file_name": "b.png", "height": 5, "width": 8},
        ],
        "categories": [{"id": 44, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "iscrowd": 0, "segmentation": [SQUARE]},
            {
                "id": 2,
                "image_id": 7,
                "category_id": 44,
                "iscrowd": 1,
                # Column by column: everything from x = 3 on.
                "segmentation": {"size": [5, 8], "counts": [15, 25]},
            },
        ],
    }


def write_set(root, content, **card):
    (root / "val" / "images").mkdir(parents=True)
    for name in "ab":
        Image.new("RGB", (8, 5)).save(root / "val" / "images" / f"{name}.png")
    (root / "val" / "instances.json").write_text(json.dumps(content))
    (root / "dataset.json").write_text(json.dumps({"classes": ["cat", "dog"]} | card))
    return root


def test_instances_become_class_masks_with_a_background_of_their_own(tmp_path, content):
    pets = open_set(write_set(tmp_path / "pets", content))
    assert pets.classes == ("background", "cat", "dog")
    assert pets.background_index == 0
    expected = np.zeros((5, 8), int)
    expected[:, 3:] = 2
    expected[1:3, 1:5] = 1  # the smaller instance lies over the larger one
    np.testing.assert_array_equal(pets[0].labels((5, 8)), expected)
    assert not pets[1].labels((5, 8)).any()
    assert [found.name for found in find_sets(tmp_path)] == ["pets"]


def test_a_background_among_the_classes_is_used(tmp_path, content):
    pets = open_set(
        write_set(tmp_path, content, classes=["cat", "dog", "rest"], background_index=2)
    )
    assert pets.classes == ("cat", "dog", "rest")
    assert (pets[1].labels((5, 8)) == 2).all()


def test_annotations_of_another_size_are_refused(tmp_path, content):
    pets = open_set(write_set(tmp_path, content))
    with pytest.raises(InputError, match=r"\(5, 8\) for a photo of \(10, 16\)"):
        pets[0].labels((10, 16))


def test_categories_without_a_class_are_refused(tmp_path, content):
    with pytest.raises(InputError, match="category 'dog'"):
        open_set(write_set(tmp_path, content, classes=["cat", "cow"]))


def test_photos_that_the_file_does_not_know_are_refused(tmp_path, content):
    content["images"].pop()
    with pytest.raises(InputError, match=r"1 photo\(s\) .* without a label in .*json: b;"):
        open_set(write_set(tmp_path, content))


@pytest.mark.parametrize("missing", ["images", "annotations", "categories"])
def test_another_format_is_refused(tmp_path, content, missing):
    del content[missing]
    with pytest.raises(InputError, match=f"'{missing}'.*it needs images, annotations"):
        open_set(write_set(tmp_path, content))


def test_shapes_are_filled_as_masks_are():
    ring = [2.0, 0.0, 6.0, 0.0, 6.0, 5.0, 2.0, 5.0, 2.0, 2.0]
    np.testing.assert_array_equal(
        fill_polygons([SQUARE, ring], (5, 8)), Masks.from_polygons([[SQUARE, ring]], (5, 8)).mask(0)
    )
