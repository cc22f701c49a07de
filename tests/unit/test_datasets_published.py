"""Published data sets: one line for every way in which a tree can be wrong, and the traps."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.published_trees import TREES, VOC_IDS, lines

import lexiseg
from lexiseg.datasets import (
    DatasetInfo,
    InstanceDataset,
    SemanticDataset,
    dataset_info,
    open_dataset,
    open_datasets,
    open_semantic,
    paper_words,
)
from lexiseg.datasets.catalogue import recognise
from lexiseg.errors import InputError, OptionError, UnknownName

VOC = Path("VOCdevkit") / "VOC2012"


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    TREES["voc21"](tmp_path)
    return tmp_path


def read_first(name: str, root: Path) -> None:
    (data,) = open_semantic(name, root=root)
    with Image.open(data[0].path) as file:
        data[0].labels((file.height, file.width))


def line_of(name: str, root: Path) -> str:
    """The message of opening a set and reading its first mask, which is one line."""
    with pytest.raises(InputError) as caught:
        read_first(name, root)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(root), "DIR")


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_the_root_may_be_given_at_any_height(below: str, voc: Path) -> None:
    data = open_dataset("voc21", root=voc / below)
    assert isinstance(data, SemanticDataset)
    assert [sample.id for sample in data] == [VOC_IDS[2], VOC_IDS[0]]  # the list's order
    assert data[0].path == voc / VOC / "JPEGImages" / f"{VOC_IDS[2]}.jpg"


def break_root(voc: Path) -> None:
    (voc / "VOCdevkit").rename(voc / "vocdevkit")


def break_list(voc: Path) -> None:
    (voc / VOC / "ImageSets" / "Segmentation" / "val.txt").rename(
        voc / VOC / "ImageSets" / "Segmentation" / "Val.txt"
    )


def break_folder(voc: Path) -> None:
    (voc / VOC / "JPEGImages").rename(voc / VOC / "JpegImages")


def break_mask(voc: Path) -> None:
    (voc / VOC / "SegmentationClass" / f"{VOC_IDS[0]}.png").unlink()


def break_photo(voc: Path) -> None:
    path = voc / VOC / "JPEGImages" / f"{VOC_IDS[0]}.jpg"
    path.rename(path.with_suffix(".JPG"))


def break_ids(voc: Path) -> None:
    lines(voc / VOC / "ImageSets" / "Segmentation" / "val.txt", [VOC_IDS[0]] * 2)


def break_empty(voc: Path) -> None:
    lines(voc / VOC / "ImageSets" / "Segmentation" / "val.txt", [])


def first_mask(voc: Path) -> Path:
    return voc / VOC / "SegmentationClass" / f"{VOC_IDS[2]}.png"


def break_size(voc: Path) -> None:
    Image.fromarray(np.zeros((8, 5), np.uint8)).save(first_mask(voc))


def break_colours(voc: Path) -> None:
    with Image.open(first_mask(voc)) as mask:
        mask.convert("RGB").save(first_mask(voc))


def break_depth(voc: Path) -> None:
    Image.fromarray(np.full((5, 8), 300, np.uint16)).save(first_mask(voc))


def break_values(voc: Path) -> None:
    Image.fromarray(np.full((5, 8), 21, np.uint8)).save(first_mask(voc))


def break_png(voc: Path) -> None:
    first_mask(voc).write_bytes(first_mask(voc).read_bytes()[:40])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_root, r"no VOCdevkit/VOC2012/ImageSets/Segmentation; the nearest .* vocdevkit/VOC2"),
        (
            break_list,
            r"lacks ImageSets/Segmentation/val.txt in .* nearest that is there is Val.txt",
        ),
        (break_folder, r"lacks JPEGImages in .* the nearest that is there is JpegImages"),
        (break_mask, r"voc21/val: 1 mask is not in .*SegmentationClass: 2007_000033.png; "),
        (break_photo, r"1 photo is not in .*: 2007_000033.jpg \(there is 2007_000033.JPG\)"),
        (break_ids, r"val.txt lists 2007_000033 twice"),
        (break_empty, r"val.txt lists no photos"),
        (break_size, r"is 5x8 and its photo 8x5 .*; height and width are swapped"),
        (break_colours, r"has pixels of kind RGB; save indices in one channel"),
        (break_depth, r"holds 300, but masks of this set hold only 0 to 20, 255"),
        (break_values, r"holds 21, but masks of this set hold only 0 to 20, 255"),
        (break_png, r"its header is damaged"),
    ],
)
def test_a_broken_tree_gets_one_line(
    damage: Callable[[Path], None], message: str, voc: Path
) -> None:
    damage(voc)
    assert re.search(message, line_of("voc21", voc))


def test_a_wrong_root_names_the_folder_and_the_nearest(voc: Path, tmp_path: Path) -> None:
    assert "is not a folder; give the one that holds voc21" in line_of("voc21", voc / "nowhere")
    below = line_of("voc21", voc / VOC / "JPEGImages")
    assert "VOC2012', above it, looks right" in below
    (tmp_path / "empty").mkdir()
    assert "empty is empty" in line_of("ade20k", tmp_path / "empty")
    with pytest.raises(UnknownName, match="did you mean 'voc20' or 'voc21'"):
        open_dataset("voc22", root=voc)
    with pytest.raises(UnknownName, match="lexiseg datasets list shows all"):
        open_dataset("nosuchthing")
    with pytest.raises(UnknownName, match="no split of voc21 is named 'vall'; did you mean 'val'"):
        open_dataset("voc21", "vall", root=voc)


def test_sixteen_bit_masks_keep_their_values(voc: Path) -> None:
    mask = np.array([[0, 20, 255, 7, 1, 0, 0, 2]] * 5, np.uint16)
    Image.fromarray(mask).save(first_mask(voc))
    data = open_dataset("voc21", root=voc)
    assert isinstance(data, SemanticDataset)
    np.testing.assert_array_equal(data[0].labels((5, 8)), mask)


def test_a_mask_without_a_photo_is_refused_where_folders_are_the_list(tmp_path: Path) -> None:
    TREES["ade20k"](tmp_path)
    folder = tmp_path / "ADEChallengeData2016"
    (folder / "images" / "validation" / "ADE_val_00000002.jpg").unlink()
    line = line_of("ade20k", tmp_path)
    assert "1 mask is without a photo" in line
    assert "ADE_val_00000002.png" in line
    shutil.rmtree(folder / "images" / "validation")
    (folder / "images" / "validation").mkdir()
    assert "has no photos (*.jpg)" in line_of("ade20k", tmp_path)


def test_reduce_zero_label_ignores_the_background_and_keeps_255(voc: Path) -> None:
    """mmsegmentation's rule; a set without a background has no class for it."""
    with_it, without = (open_dataset(name, root=voc) for name in ("voc21", "voc20"))
    assert isinstance(with_it, SemanticDataset)
    assert isinstance(without, SemanticDataset)
    assert (with_it.background_index, without.background_index) == (0, None)
    old, new = with_it[0].labels((5, 8)), without[0].labels((5, 8))
    ignored = (old == 0) | (old == 255)
    assert ignored.any()
    np.testing.assert_array_equal(new, np.where(ignored, 255, old - 1))


def test_a_coco_object_pixel_that_nobody_labelled_is_background(tmp_path: Path) -> None:
    """GroupViT's converter counts stuff and 255 as background, where COCO-Stuff ignores 255."""
    TREES["coco-object"](tmp_path)
    objects = open_dataset("coco-object", root=tmp_path)
    stuff = open_dataset("coco-stuff164k", root=tmp_path)
    assert isinstance(objects, SemanticDataset)
    assert isinstance(stuff, SemanticDataset)
    mine, theirs = objects[0].labels((6, 9)), stuff[0].labels((6, 9))
    assert (mine[theirs == 255] == 0).all()
    assert (mine[(theirs >= 80)] == 0).all()
    np.testing.assert_array_equal(mine[theirs < 80], theirs[theirs < 80] + 1)


def test_coco_open_has_base_and_novel_classes(tmp_path: Path) -> None:
    TREES["coco"](tmp_path)
    small = open_dataset("coco-open-48-17", root=tmp_path)
    large = open_dataset("coco-open-65-15", root=tmp_path)
    for data, sizes in ((small, (48, 17)), (large, (65, 15))):
        assert isinstance(data, SemanticDataset)
        base, novel = data.groups["base"], data.groups["novel"]
        assert (len(base), len(novel)) == sizes
        assert sorted((0, *base, *novel)) == list(range(len(data.classes)))
    assert isinstance(small, SemanticDataset)
    assert "cat" in {small.classes[i] for i in small.groups["novel"]}
    assert "traffic light" not in small.classes  # one of the 15 that are left out
    assert isinstance(large, SemanticDataset)
    assert "suitcase" in {large.classes[i] for i in large.groups["novel"]}
    # Of the 15 classes that are left out, pixels do not count: none is drawn here.
    assert set(np.unique(small[0].labels((6, 9)))) <= {0, 255, *range(1, 66)}


def test_zero_shot_voc_counts_the_background_among_the_base_classes(voc: Path) -> None:
    plain = open_dataset("voc21", root=voc)
    for name, novel in (
        ("voc21-unseen4", {1, 10, 14, 18}),  # JoEm's get_unseen_idx(4), (10), at 06ee1fc
        ("voc21-unseen10", {1, 5, 8, 9, 10, 14, 16, 18, 19, 20}),
    ):
        data = open_dataset(name, root=voc)
        assert isinstance(data, SemanticDataset)
        assert set(data.groups["novel"]) == novel
        assert set(data.groups["base"]) == set(range(21)) - novel
        assert data.samples == plain.samples  # type: ignore[union-attr]


def test_pixels_of_classes_left_out_do_not_count(tmp_path: Path) -> None:
    TREES["coco"](tmp_path)
    data = open_dataset("coco", root=tmp_path)
    assert isinstance(data, InstanceDataset)
    whole, cut = data.semantic(), data.semantic(frozenset({0}))  # person
    assert cut.classes == ("background", *data.classes[1:])
    full, part = whole[0].labels((6, 9)), cut[0].labels((6, 9))
    np.testing.assert_array_equal(part, np.where(full == 1, 255, np.where(full > 1, full - 1, 0)))


def test_davis_2016_takes_255_for_the_object_and_2017_for_none(tmp_path: Path) -> None:
    TREES["davis2016"](tmp_path)
    videos = [open_dataset(name, root=tmp_path) for name in ("davis2016", "davis2017")]
    (one, many) = ({video.name: video for video in data} for data in videos)  # type: ignore[union-attr]
    path = one["blackswan"].masks[0]
    pixels = np.array(Image.open(path))
    np.testing.assert_array_equal(one["blackswan"].objects(0), pixels > 0)
    np.testing.assert_array_equal(many["blackswan"].objects(0), np.where(pixels == 255, 0, pixels))
    path.unlink()
    with pytest.raises(InputError, match="blackswan has no mask of its first frame"):
        open_dataset("davis2017", root=tmp_path)


def test_a_pickle_that_names_code_is_refused(tmp_path: Path) -> None:
    TREES["refcoco"](tmp_path)
    path = tmp_path / "refcoco" / "refs(unc).p"
    path.write_bytes(pickle.dumps([Path("x")]))
    with pytest.raises(InputError, match=r"not a pickle of plain values \(it names the code path"):
        open_dataset("refcoco", root=tmp_path)
    path.write_bytes(b"no pickle")
    with pytest.raises(InputError, match="not a pickle of plain values"):
        open_dataset("refcoco", root=tmp_path)


def test_a_phrase_of_a_photo_with_another_size_is_refused(tmp_path: Path) -> None:
    TREES["phrasecut"](tmp_path)
    data = open_dataset("phrasecut", root=tmp_path)
    with pytest.raises(InputError, match="is 9x5 and was annotated at"):
        data[0].mask((5, 9))  # type: ignore[index, union-attr]
    # Of photos that are known not to fit, the mask is scaled: corner on corner.
    misfit = next(sample for sample in data if "150417" in sample.id)  # type: ignore[union-attr]
    own, twice = misfit.mask((61, 53)), misfit.mask((122, 106))  # type: ignore[union-attr]
    np.testing.assert_array_equal(twice[::2, ::2], own)


@pytest.mark.parametrize(
    ("name", "damaged", "content", "message"),
    [
        ("coco", "annotations/instances_val2017.json", {"images": []}, "COCO's instances format"),
        ("coco", "val2017/000000000139.jpg", None, "1 of the 3 photos of instances_val2017"),
        ("coco-panoptic", "annotations/panoptic_val2017.json", {"a": 1}, "COCO's panoptic format"),
        ("coco-panoptic", "panoptic_val2017/000000000139.png", None, "1 files of 3 photos are"),
        ("lvis", "lvis_v1_val.json", [1], "not COCO's instances format"),
        ("phrasecut", "VGPhraseCut_v0/refer_test.json", [1], "not PhraseCut's list of phrases"),
        ("phrasecut", "VGPhraseCut_v0/images/7.jpg", None, "1 photos of 3 are missing .* 7.jpg"),
        ("refcoco", "refcoco/instances.json", {"images": []}, "has no annotations"),
        ("coco20i", "COCO2014/annotations/val2014/COCO_val2014_000000000000.png", None, "missing"),
        ("fss1000", "FSS-1000/water_buffalo/3.png", None, "water_buffalo/3.png is missing"),
        ("pascal5i", "VOCdevkit/VOC2012/splits/pascal/val/fold0.txt", None, "lacks splits/pascal"),
    ],
)
def test_broken_files_of_other_kinds_get_one_line(
    name: str, damaged: str, content: object, message: str, tmp_path: Path
) -> None:
    TREES[name](tmp_path)
    if content is None:
        (tmp_path / damaged).unlink()
    else:
        (tmp_path / damaged).write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        open_dataset(name, root=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_fold_list_of_another_fold_is_refused(tmp_path: Path) -> None:
    TREES["pascal5i"](tmp_path)
    folder = tmp_path / VOC / "splits" / "pascal" / "val"
    (folder / "fold0.txt").write_text((folder / "fold1.txt").read_text())
    with pytest.raises(InputError, match=r"lines of this fold are PHOTO__CLASS, .* 01 to 05"):
        open_dataset("pascal5i", "fold0", root=tmp_path)


def test_folders_are_recognised_by_what_they_hold(tmp_path: Path) -> None:
    seen = {}
    for name in ("voc21", "ade20k", "cityscapes", "context60", "fss1000"):
        TREES[name](tmp_path / name)
        seen[name] = [info.name for info in recognise(tmp_path / name)]
    assert seen == {name: [name] for name in seen}
    TREES["sbd"](tmp_path / "sbd")
    assert recognise(tmp_path / "sbd" / "benchmark_RELEASE" / "dataset") == ()
    (data,) = open_semantic(tmp_path / "voc21", "train")
    assert (data.name, data.split) == ("voc21", "train")
    (closed,) = open_datasets(tmp_path / "voc21", only=["voc20"])
    assert closed.name == "voc20"
    with pytest.raises(InputError, match=r"fss1000 has no classes for every pixel"):
        open_semantic("fss1000", root=tmp_path / "fss1000")


def test_papers_words_stand_for_the_classes_in_order(voc: Path) -> None:
    (data,) = open_semantic("voc21", root=voc)
    words, background = paper_words(data, "sclip")
    assert (len(words), words[4]) == (21, "ship")
    assert words[15].startswith("person|person in shirt")
    assert background is not None
    assert background[:2] == ("sky", "wall")
    assert paper_words(data, "voc21.clearclip")[0][15] == "person"
    panoptic = replace(data, name="coco-panoptic")
    with pytest.raises(OptionError, match="sclip has no words of its own for coco-panoptic"):
        paper_words(panoptic, "sclip")
    with pytest.raises(OptionError, match="'voc20' has 20 classes and voc21 has 21; take 'voc21'"):
        paper_words(data, "voc20")


def test_every_record_is_complete() -> None:
    known = lexiseg.list_datasets()
    assert [info.name for info in known] == sorted(info.name for info in known)
    for info in known:
        assert isinstance(info, DatasetInfo)
        assert info.home.startswith("http")
        assert all((info.title, info.licence, info.size, info.commands, info.folders, info.marks))
        assert all(part.paths for split in info.splits for part in split.parts)
        assert info == dataset_info(info.name)
        if info.vocabulary is not None:
            lexiseg.Vocabulary.named(info.vocabulary)
