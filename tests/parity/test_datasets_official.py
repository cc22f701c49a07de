"""Published data sets, read from small trees, against what the official loaders say of the same.

``tests/parity/golden/make_datasets.py`` made ``datasets.json``, and names code and commits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.published_trees import LARGE, TREES

import lexiseg
from lexiseg.datasets import (
    FewShotDataset,
    InstanceDataset,
    PhraseDataset,
    SemanticDataset,
    VideoDataset,
    dataset_info,
    open_dataset,
)

SAID = json.loads((Path(__file__).parent / "golden" / "datasets.json").read_text(encoding="utf-8"))
Open = Callable[..., Any]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def build_and_open(name: str, split: str | None = None) -> Any:
        if not any(tmp_path.iterdir()):
            TREES[name](tmp_path)
        return open_dataset(name, split, root=tmp_path)

    return build_and_open


def plain(name: str) -> str:
    """A class's name without what only writing differs in: "tvmonitor", "bed "."""
    return name.replace(" ", "")


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as file:
        return file.height, file.width


@pytest.mark.parametrize("name", sorted(SAID["semantic"]))
def test_label_maps_classes_and_order_are_the_official_ones(name: str, opened: Open) -> None:
    """mmsegmentation's readers, SCLIP's, and the converters that papers use before them."""
    data, said = opened(name, "test" if name == "coco-stuff10k" else "val"), SAID["semantic"][name]
    assert isinstance(data, SemanticDataset)
    assert [plain(one) for one in data.classes] == [plain(one) for one in said["classes"]]
    names = [Path(path).name for path, _ in said["photos"]]
    assert [sample.path.name for sample in data] == names
    for sample, (_, labels) in zip(data, said["photos"], strict=True):
        np.testing.assert_array_equal(sample.labels(size_of(sample.path)), labels)
    assert data.ignore_index == 255


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("coco-stuff164k", "_labelTrainIds"), ("coco-object", "_instanceTrainIds"),
     ("cityscapes", "_gtFine_labelTrainIds")],
)  # fmt: skip
def test_converted_masks_are_read_as_the_published_ones(
    name: str, suffix: str, opened: Open
) -> None:
    """What the official converters wrote stands beside, or in the place of, what is published."""
    published = opened(name)
    before = [sample.labels(size_of(sample.path)) for sample in published]
    for sample, (_, labels) in zip(published, SAID["semantic"][name]["photos"], strict=True):
        place = sample.truth.path
        if name == "cityscapes":
            path = Path(str(place).replace("_gtFine_labelIds", suffix))
        else:
            path = place.with_name(f"{sample.id}{suffix}.png")
        Image.fromarray(np.array(labels, np.uint8)).save(path)
    converted = opened(name)
    assert all(suffix in sample.truth.path.name for sample in converted)
    for sample, labels in zip(converted, before, strict=True):
        np.testing.assert_array_equal(sample.labels(size_of(sample.path)), labels)


def test_coco_stuff10k_as_mmsegmentation_converts_it(tmp_path: Path) -> None:
    said = SAID["semantic"]["coco-stuff10k"]["photos"]
    root = tmp_path / "coco_stuff10k"
    for path, labels in said:
        stem = Path(path).stem
        photo = root / "images" / "test2014" / f"{stem}.jpg"
        mask = root / "annotations" / "test2014" / f"{stem}_labelTrainIds.png"
        for place in (photo, mask):
            place.parent.mkdir(parents=True, exist_ok=True)
        pixels = (np.array(labels, np.uint8) + 1).astype(np.uint8)  # 255 becomes 0
        Image.fromarray(pixels).save(mask)
        Image.fromarray(np.stack([pixels] * 3, -1)).save(photo)
    data = open_dataset("coco-stuff10k", root=tmp_path)
    assert isinstance(data, SemanticDataset)
    for sample, (_, labels) in zip(data, said, strict=True):
        np.testing.assert_array_equal(sample.labels(size_of(sample.path)), labels)


def test_coco_instances_are_pycocotools(opened: Open) -> None:
    data, said = opened("coco"), SAID["instances"]["coco"]
    assert isinstance(data, InstanceDataset)
    assert list(data.classes) == said["classes"]
    mine = [
        (int(sample.id), data.category_ids[thing.class_id], mask)
        for sample in data
        for thing, mask in zip(sample.instances, sample.masks().dense(), strict=True)
    ]
    assert [one[:2] for one in mine] == [tuple(one[:2]) for one in said["things"]]
    for (*_, mask), (*_, expected) in zip(mine, said["things"], strict=True):
        np.testing.assert_array_equal(mask, expected)


def test_lvis_is_the_official_readers(opened: Open) -> None:
    data, said = opened("lvis"), SAID["instances"]["lvis"]
    mine = [
        (int(sample.id), data.category_ids[thing.class_id], mask)
        for sample in data
        for thing, mask in zip(sample.instances, sample.masks().dense(), strict=True)
    ]
    assert [one[:2] for one in mine] == [tuple(one[:2]) for one in said]
    for (*_, mask), (*_, expected) in zip(mine, said, strict=True):
        np.testing.assert_array_equal(mask, expected)
    assert data.classes == ("thing_2", "thing_3", "thing_5")
    assert (data[0].absent, data[0].incomplete) == ((1,), (0,))


def test_panoptic_segments_have_the_classes_of_panopticapi(opened: Open) -> None:
    data, said = opened("coco-panoptic"), SAID["instances"]["panoptic"]
    number_of = {name: index for index, name in enumerate(data.classes)}
    numbers = {1: "person", 90: "toothbrush", 92: "banner", 200: "rug-merged"}
    table = {0: 255} | {number: number_of[name] for number, name in numbers.items()}
    for sample, (file_name, categories) in zip(data, said, strict=True):
        assert sample.path.stem == Path(file_name).stem
        expected = np.vectorize(table.get)(np.array(categories))
        np.testing.assert_array_equal(sample.labels(size_of(sample.path)), expected)


@pytest.mark.parametrize("name", ["phrasecut", "phrasecut-clipseg"])
def test_phrases_are_drawn_as_each_evaluator_draws_them(name: str, opened: Open) -> None:
    data, said = opened(name), SAID["phrases"][name]
    sizes = {"2412": LARGE[0], "7": LARGE[1], "150417": LARGE[2]}
    assert isinstance(data, PhraseDataset)
    left_out = {"150417__3"} if name == "phrasecut-clipseg" else set()
    assert {sample.id for sample in data} == set(said) - left_out
    for sample in data:
        mask = sample.mask(sizes[sample.image_id])
        assert np.flatnonzero(mask).tolist() == said[sample.id]


@pytest.mark.parametrize("place", sorted(SAID["phrases"]["refer"]))
def test_sentences_are_refers(place: str, opened: Open) -> None:
    name, split = place.split("/")
    data, said = opened(name, split), SAID["phrases"]["refer"][place]
    assert len(data) == len(said)
    for sample, (number, sentence, file_name, mask) in zip(data, said, strict=True):
        assert (sample.id, sample.phrase, sample.path.name) == (str(number), sentence, file_name)
        np.testing.assert_array_equal(sample.mask(sample.size_hw), mask)


def test_videos_are_davis(opened: Open) -> None:
    data, said = opened("davis2017"), SAID["videos"]
    assert isinstance(data, VideoDataset)
    assert [video.name for video in data] == list(said)
    for video in data:
        own = said[video.name]
        assert [frame.stem for frame in video.frames] == own["frames"]
        assert video.num_objects == own["objects"]
        for frame, numbers in enumerate(own["numbers"]):
            np.testing.assert_array_equal(video.objects(frame), numbers)


@pytest.mark.parametrize("place", sorted(SAID["episodes"]))
def test_episodes_are_those_of_the_published_code(place: str, opened: Open) -> None:
    """Query, supports, class, and how many pixels of the query are meant and ignored."""
    name, split, shots = place.split("/")
    data, said = opened(name, split), SAID["episodes"][place]
    assert isinstance(data, FewShotDataset)
    assert data.protocol == ("hsnet" if name in ("pascal5i", "coco20i", "fss1000") else "pfenet")
    drawn = data.episodes(shots=int(shots), count=len(said))
    assert [[one.query, list(one.supports), one.class_id] for one in drawn] == [
        one[:3] for one in said
    ]
    for one, (*_, meant, ignored) in list(zip(drawn, said, strict=True))[:10]:
        size = size_of(data.samples[one.query].path)
        masks = data.mask(one.query, one.class_id, size)
        assert [int(mask.sum()) for mask in masks] == [meant, ignored]


def test_every_registered_set_opens_its_published_tree(opened: Open, tmp_path: Path) -> None:
    assert sorted(TREES) == [info.name for info in lexiseg.list_datasets()]
    for name in TREES:
        folder = tmp_path / name
        TREES[name](folder)
        for split in dataset_info(name).splits:
            data = open_dataset(name, split.name, root=folder)
            assert len(data) > 0
            assert (data.name, data.split) == (name, split.name)
