"""Class masks from COCO's instances.json, against pycocotools and hand-drawn shapes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from lexiseg.datasets import find_sets, open_set
from lexiseg.datasets.coco import fill_polygons
from lexiseg.errors import InputError

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


def test_polygons_agree_with_hand_drawn_shapes():
    got = fill_polygons([SQUARE], (5, 8))
    expected = np.zeros((5, 8), bool)
    expected[1:3, 1:5] = True
    np.testing.assert_array_equal(got, expected)
    triangle = fill_polygons([[0, 0, 4.2, 0, 0, 4.2]], (4, 6))
    np.testing.assert_array_equal(triangle.sum(1), [4, 3, 2, 1])
    beyond = fill_polygons([[-3, -3, 20, -3, 20, 2, -3, 2]], (4, 6))
    np.testing.assert_array_equal(beyond.all(1), [True, True, False, False])
    assert not fill_polygons([[20, 20, 30, 20, 30, 30], [1, 1, 1, 1, 1, 1]], (4, 6)).any()


# pycocotools 2.0 does not know numpy 2's copy argument.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_polygons_agree_with_pycocotools_up_to_the_outline():
    # pycocotools draws a polygon's outline its own way, so large shapes must agree almost wholly.
    rng = np.random.default_rng(2)
    for _ in range(20):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 14))
        radius = rng.uniform(25, 60, 14)
        polygon = np.stack([90 + radius * np.cos(angles), 70 + radius * np.sin(angles)], 1).ravel()
        theirs = coco_mask.decode(coco_mask.frPyObjects([polygon.tolist()], 140, 180))[..., 0] > 0
        ours = fill_polygons([polygon.tolist()], (140, 180))
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.98


def test_two_parts_of_one_instance_are_joined():
    both = fill_polygons([SQUARE, [2, 1, 7, 1, 7, 3, 2, 3]], (5, 8))
    assert both.sum() == 2 * 6


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
