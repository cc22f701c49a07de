"""The plain layout: what is read, and one clear line for every way in which a set can be wrong."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lexiseg.datasets import find_sets, open_set
from lexiseg.datasets.annotations import MaskFile
from lexiseg.errors import InputError, UnknownName

CARD = {"title": "Two pets", "classes": ["nothing", "cat", "dog"], "background_index": 0}


def write_photo(path, size_hw=(4, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size_hw, 3), 90, np.uint8)).save(path)


def write_mask(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(labels, np.uint8)).save(path)


@pytest.fixture
def root(tmp_path):
    """A set of two photos, 4 x 6, in val and one in train."""
    root = tmp_path / "pets"
    for folder, stem, value in [("val", "b", 2), ("val", "a", 1), ("train", "c", 0)]:
        write_photo(root / folder / "images" / f"{stem}.png")
        labels = np.full((4, 6), value)
        labels[0] = 255
        write_mask(root / folder / "masks" / f"{stem}.png", labels)
    (root / "dataset.json").write_text(json.dumps(CARD))
    return root


def change_card(root, **fields):
    (root / "dataset.json").write_text(json.dumps(CARD | fields))


def test_a_set_is_its_samples_in_order_of_id(root):
    pets = open_set(root)
    assert (pets.name, pets.title, pets.split) == ("pets", "Two pets", "val")
    assert pets.classes == ("nothing", "cat", "dog")
    assert (pets.background_index, pets.ignore_index) == (0, 255)
    assert [sample.id for sample in pets] == ["a", "b"]
    assert pets[1].path == root / "val" / "images" / "b.png"
    labels = pets[1].labels((4, 6))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, [[255] * 6] + [[2] * 6] * 3)


def test_parts_of_a_set(root):
    pets = open_set(root)
    assert [sample.id for sample in pets.first(1)] == ["a"]
    assert [sample.id for sample in pets.subset(["b", "a"])] == ["b", "a"]
    with pytest.raises(UnknownName, match="'zebra'"):
        pets.subset(["zebra"])


def test_sixteen_bit_and_palette_masks_keep_their_values(root):
    path = root / "val" / "masks" / "a.png"
    change_card(root, classes=[f"class {i}" for i in range(700)], ignore_index=65535)
    Image.fromarray(np.array([[699, 65535, 1, 0, 2, 3]] * 4, np.uint16)).save(path)
    np.testing.assert_array_equal(open_set(root)[0].labels((4, 6))[0], [699, 65535, 1, 0, 2, 3])
    palette = Image.fromarray(np.array([[5, 6, 7, 8, 9, 10]] * 4, np.uint8))
    palette.putpalette(list(range(255, -1, -1)) * 3)
    palette.save(path)
    np.testing.assert_array_equal(open_set(root)[0].labels((4, 6))[3], [5, 6, 7, 8, 9, 10])


def test_a_class_named_background_is_the_background_unless_the_card_says_otherwise(root):
    names = ["cat", "background", "dog"]
    (root / "dataset.json").write_text(json.dumps({"classes": names}))
    assert open_set(root).background_index == 1
    (root / "dataset.json").write_text(json.dumps({"classes": names, "background_index": None}))
    assert open_set(root).background_index is None


def test_a_split_may_be_a_list_of_photos(root, tmp_path):
    (root / "splits.json").write_text(json.dumps({"mix": ["val/b", "train/c"]}))
    mix = open_set(root, "mix")
    assert [sample.id for sample in mix] == ["val/b", "train/c"]
    assert (mix[1].labels((4, 6))[1:] == 0).all()
    shared = tmp_path / "shared.json"
    shared.write_text(json.dumps({"tune": {"pets": ["train/c"], "others": ["train/x"]}}))
    assert [sample.id for sample in open_set(root, "tune", splits=shared)] == ["train/c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"mix": ["val/nobody"]}, "no photo of pets is named 'val/nobody'"),
        ({"mix": ["elsewhere/a"]}, "has no folder images"),
        ({"mix": []}, "lists no photos of pets"),
        ({"mix": {"others": ["val/a"]}}, "lists no photos of pets"),
        ({"mux": ["val/a"]}, "did you mean 'mux'"),
        (["val/a"], "holds no splits"),
    ],
)
def test_wrong_lists_are_refused(root, content, message):
    (root / "splits.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        open_set(root, "mix")


def test_missing_split_names_those_that_are_there(root):
    with pytest.raises(UnknownName, match=r"'test'; choose one of: train, val"):
        open_set(root, "test")


def test_missing_card_says_where_data_sets_are(root):
    with pytest.raises(InputError, match=r"holds no dataset.json; give one .* inside it: pets"):
        open_set(root.parent)
    (root / "dataset.json").unlink()
    with pytest.raises(InputError, match=r"write one with at least \{\"classes\""):
        open_set(root)
    with pytest.raises(InputError, match="is not a folder"):
        open_set(root / "nowhere")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": None}, "names no classes"),
        ({"classes": []}, "give a list of names"),
        ({"classes": ["cat", " "]}, "not blank"),
        ({"classes": ["cat", "dog", "cat"]}, "'cat' stands there twice"),
        ({"background_index": 3}, "there are 3 classes"),
        ({"background_index": "0"}, "give a class index"),
        ({"ignore_index": 2}, "is also the class 'dog'"),
        ({"ignore_index": -1}, "0 or more"),
    ],
)
def test_impossible_cards_are_refused(root, fields, message):
    change_card(root, **fields)
    with pytest.raises(InputError, match=message):
        open_set(root)


def test_a_card_that_is_no_json_object_is_refused(root):
    (root / "dataset.json").write_text("{classes:")
    with pytest.raises(InputError, match="is not JSON"):
        open_set(root)
    (root / "dataset.json").write_text("[]")
    with pytest.raises(InputError, match="no JSON object"):
        open_set(root)


def test_photos_without_mask_and_masks_without_photo_are_refused(root):
    extra = root / "val" / "masks" / "c.png"
    write_mask(extra, np.zeros((4, 6)))
    with pytest.raises(InputError, match=r"1 label\(s\) in .*masks without a photo in .*: c;"):
        open_set(root)
    extra.unlink()
    (root / "val" / "masks" / "a.png").unlink()
    with pytest.raises(InputError, match=r"1 photo\(s\) of .*val without a label in .*masks: a;"):
        open_set(root)


def test_two_photos_of_one_id_are_refused(root):
    write_photo(root / "val" / "images" / "a.bmp")
    with pytest.raises(InputError, match=r"a\.bmp and a\.png"):
        open_set(root)


def test_files_that_are_no_pictures_do_not_disturb(root):
    (root / "val" / "images" / "notes.txt").write_text("taken in May")
    (root / "val" / "images" / ".a.png").write_bytes(b"")
    assert len(open_set(root)) == 2


def test_empty_or_missing_folders_are_refused(root):
    for path in (root / "val" / "images").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="holds no photos"):
        open_set(root)
    (root / "val" / "images").rmdir()
    with pytest.raises(InputError, match="no folder images"):
        open_set(root)
    (root / "bare" / "images").mkdir(parents=True)
    write_photo(root / "bare" / "images" / "a.png")
    with pytest.raises(InputError, match=r"neither a folder masks nor instances\.json"):
        open_set(root, "bare")


@pytest.mark.parametrize(
    ("size_hw", "message"), [((4, 7), "6x4 and its photo 7x4"), ((6, 4), "width are swapped")]
)
def test_mask_of_another_size_is_refused(root, size_hw, message):
    with pytest.raises(InputError, match=message):
        open_set(root)[0].labels(size_hw)


def test_mask_values_without_a_class_are_refused(root):
    labels = np.zeros((4, 6))
    labels[0, :3] = [3, 200, 255]
    write_mask(root / "val" / "masks" / "a.png", labels)
    with pytest.raises(InputError, match=r"holds 3, 200, but there are 3 classes \(0 to 2\)"):
        open_set(root)[0].labels((4, 6))


def test_masks_that_are_no_index_pictures_are_refused(root):
    path = root / "val" / "masks" / "a.png"
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(path)
    with pytest.raises(InputError, match="pixels of kind RGB"):
        open_set(root)[0].labels((4, 6))
    path.write_text("not a picture")
    with pytest.raises(InputError, match="not a picture"):
        open_set(root)[0].labels((4, 6))
    write_mask(path, np.random.default_rng(0).integers(0, 3, (64, 64)))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="damaged or cut off"):
        open_set(root)[0].labels((64, 64))


def test_a_mask_that_would_fill_the_memory_is_refused(root):
    path = root / "val" / "masks" / "a.png"
    head = bytearray(path.read_bytes())
    head[16:24] = struct.pack(">II", 60_000, 40_000)  # what the header says of width and height
    head[29:33] = struct.pack(">I", zlib.crc32(head[12:29]))
    path.write_bytes(head)
    with pytest.raises(InputError, match="more than the limit"):
        open_set(root)[0].labels((4, 6))
    path.unlink()
    with pytest.raises(InputError, match="cannot be opened"):
        MaskFile(path, ("cat",), 255).labels((4, 6))


def test_sets_are_found_in_folders_and_those_without_labels_passed_over(root, tmp_path):
    (tmp_path / "nameless").mkdir()
    (tmp_path / "nameless" / "dataset.json").write_text(json.dumps({"classes": None}))
    write_photo(tmp_path / "tags" / "val" / "images" / "a.png")
    (tmp_path / "tags" / "dataset.json").write_text(json.dumps({"classes": ["cat", "cat"]}))
    assert [found.name for found in find_sets(tmp_path)] == ["pets"]
    assert [found.name for found in find_sets([root, str(root)], "train")] == ["pets", "pets"]
    with pytest.raises(InputError, match=r"no data set in .* has labels for the split 'test'"):
        find_sets(tmp_path, "test")
    with pytest.raises(InputError, match="names no classes"):
        find_sets([tmp_path / "nameless"])
    with pytest.raises(InputError, match=r"holds no dataset\.json"):
        find_sets(root / "val")
