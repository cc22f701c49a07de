"""Stage three in miniature: what it is shown, what it is scored by, how a run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lexiseg.datasets import open_set
from lexiseg.device import seeded
from lexiseg.errors import InputError
from lexiseg.models.tiny.masknet import MaskNetConfig
from lexiseg.models.tiny.vision import VisionConfig, VisionNet
from lexiseg.training.loop import RunOptions
from lexiseg.training.tiny.masker import MaskerRecipe, mask_loss, train_masker
from lexiseg.training.tiny.objects import (
    ObjectSampling,
    ObjectSet,
    load_instances,
    load_objects,
    load_regions,
    make_objects,
    next_click,
)

HOW = ObjectSampling(batch=3, objects=4, sizes_hw=((64, 96),), short_sides=(60.0, 90.0))


def object_set(by_class: bool = False) -> ObjectSet:
    """Photos whose red channel is the number of the object, times 60."""
    photos, maps = [], []
    for k in range(4):
        numbers = np.zeros((70, 110), np.uint8)
        numbers[10:40, 8 + 4 * k : 45] = 1
        numbers[30:62, 60:100] = 2
        numbers[5:20, 80:105] = 1 if by_class else 3
        photo = np.stack([numbers * 60, numbers * 0 + 90, numbers * 0 + 40], -1).astype(np.uint8)
        photos.append(photo)
        maps.append(numbers)
    return ObjectSet("toy", photos, maps, by_class)


def test_prompts_lie_on_what_they_ask_for() -> None:
    how = ObjectSampling(batch=4, sizes_hw=((64, 96), (96, 64)), short_sides=(60.0, 90.0),
                         jitter=0.0)  # fmt: skip
    counts = {"click": 0, "box": 0, "beside": 0}
    for step in range(30):
        batch = make_objects([object_set()], [1.0], how, 0, step)
        h, w = batch.masks.shape[1:]
        assert batch.pixels.shape == (4, h, w, 3)
        for n, mask in enumerate(batch.masks):
            red = batch.pixels[batch.photo[n], ..., 0][mask].astype(int)
            assert np.median(red) in range(50, 200)  # the photo is cut and flipped as its map is
            assert np.mean(np.abs(red - np.median(red)) < 25) > 0.45
            for (x, y), label in zip(batch.points_xy[n], batch.labels[n], strict=True):
                if label >= 0:
                    assert bool(mask[int(y * h), int(x * w)]) == bool(label)
                    counts["click" if label else "beside"] += 1
            if batch.has_box[n]:
                counts["box"] += 1
                ys, xs = np.nonzero(mask)
                x0, _, _, y1 = batch.boxes_xyxy[n] * (w, h, w, h)
                wide, high = np.ptp(xs) + 1, np.ptp(ys) + 1
                assert abs(x0 - xs.min()) <= 0.13 * wide + 1
                assert abs(y1 - ys.max() - 1) <= 0.13 * high + 1
            elif batch.labels[n, 0] != 1:
                raise AssertionError("a prompt asks for nothing")
    assert min(counts.values()) > 10
    again = make_objects([object_set()], [1.0], how, 0, 29)
    np.testing.assert_array_equal(again.masks, batch.masks)
    np.testing.assert_array_equal(again.points_xy, batch.points_xy)


def test_components_of_a_class_are_objects_of_their_own() -> None:
    whole = [make_objects([object_set()], [1.0], HOW, 0, step) for step in range(6)]
    parts = [make_objects([object_set(by_class=True)], [1.0], HOW, 0, step) for step in range(6)]
    import cv2

    for batch in parts:
        for mask in batch.masks:
            assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 2
    assert len(whole) == len(parts)


def test_the_next_click_is_at_the_deepest_error() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:30] = True
    made = np.zeros_like(mask)
    made[10:30, 10:22] = True  # misses a strip of 8
    made[0:5, 40:45] = True  # and adds a square of 5
    place, label = next_click(mask != made, mask)  # type: ignore[misc]
    assert label == 1
    assert 22 <= place[0] * 60 < 30
    assert 10 <= place[1] * 40 < 30
    made = np.zeros_like(mask)
    made[0:40, 0:50] = True
    assert next_click(mask != made, mask)[1] == 0  # type: ignore[index]
    assert next_click(mask != mask, mask) is None


def test_the_loss_takes_the_best_candidate_and_judges_all() -> None:
    target = torch.zeros(1, 8, 12)
    target[:, 2:6, 3:9] = 1
    right = (target * 2 - 1) * 12
    wrong = -right
    half = right.clone()
    half[:, :, 6:] = -12
    logits = torch.stack([wrong[0], right[0], half[0]])[None]
    sure = torch.tensor([[-12.0, 12.0, 0.0]])  # half has an IoU of 0.5
    recipe = MaskerRecipe(others_weight=0.0)
    loss, best = mask_loss(logits, sure, target, recipe)
    assert float(best) == 1
    unsure = np.log(2) / 3  # nothing better can be said of one half
    assert float(loss) == pytest.approx(recipe.quality_weight * unsure, abs=0.01)
    misjudged, _ = mask_loss(logits, -sure, target, recipe)
    assert float(misjudged) == pytest.approx(
        recipe.quality_weight * (unsure + 12 * 2 / 3), abs=0.01
    )
    worse, _ = mask_loss(logits[:, [0, 2, 2]], sure, target, recipe)
    assert float(worse) > float(loss) + 0.3


def net() -> VisionNet:
    with seeded(1):
        return VisionNet(
            VisionConfig(
                dim=12, context_dim=16, context_layers=1, heads=2, mlp=24, middle_dim=12,
                fine_dim=8, text_dim=12,
            )
        )  # fmt: skip


SMALL = MaskNetConfig(decoded_dim=8, shared_dim=12, groups=2, key_dim=4, dim=8, mlp=12, fine_dim=6)
RECIPE = MaskerRecipe(steps=6, warmup_steps=2, decay_steps=3, save_every=2, sampling=HOW)


def test_a_killed_run_goes_on_exactly(tmp_path: Path) -> None:
    sets = [object_set(), object_set(by_class=True)]
    whole = train_masker(sets, net(), tmp_path / "whole", RECIPE, SMALL).net.state_dict()
    train_masker(sets, net(), tmp_path / "killed", RECIPE, SMALL, options=RunOptions(stop_after=3))
    resumed = train_masker(sets, net(), tmp_path / "killed", RECIPE, SMALL).net.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)

    def losses(name: str) -> list[float]:
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]

    assert losses("killed") == losses("whole")
    assert len(losses("whole")) == 6


def test_instances_and_regions_are_read(tmp_path: Path) -> None:
    root = tmp_path / "toy"
    (root / "train" / "images").mkdir(parents=True)
    Image.fromarray(object_set().photos[0]).save(root / "train" / "images" / "7.png")
    (root / "dataset.json").write_text(
        json.dumps({"title": "toy", "classes": ["cat"], "ignore_index": 255})
    )
    note = {"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "bbox": [8, 10, 20, 10]}
    square = [[8, 10, 28, 10, 28, 20, 8, 20]]
    content = {
        "images": [{"id": 7, "file_name": "images/7.png", "width": 110, "height": 70}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {**note, "area": 200, "segmentation": square},
            {**note, "id": 2, "area": 50, "segmentation": [[10, 12, 20, 12, 20, 17, 10, 17]]},
        ],
    }
    (root / "train" / "instances.json").write_text(json.dumps(content))
    found = load_objects(open_set(root, "train"))
    assert not found.by_class
    assert np.bincount(found.maps[0].ravel()).tolist() == [70 * 110 - 200, 150, 50]
    ((path, masks),) = load_instances(root / "train")
    assert path.stem == "7"
    assert [int(mask.sum()) for mask in masks((70, 110))] == [200, 50]

    regions = tmp_path / "regions"
    (regions / "train" / "images").mkdir(parents=True)
    (regions / "train" / "masks").mkdir()
    with pytest.raises(InputError, match="annotator"):
        load_regions(regions)
    Image.fromarray(object_set().photos[0]).save(regions / "train" / "images" / "a.png")
    for k in (0, 1):
        Image.fromarray(object_set().maps[k] + 1).save(regions / "train" / "masks" / f"a.{k}.png")
    assert len(load_regions(regions)) == 2
    np.testing.assert_array_equal(load_regions(regions).maps[1], object_set().maps[1] + 1)
