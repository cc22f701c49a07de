"""Features that are kept, words in vain, and the head that learns on both, in miniature."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from tests.training_data import CLASSES, SMALL, shape_set, word_bank, write_shapes
from torch import Tensor, nn

from lexiseg.datasets import SemanticDataset, open_set
from lexiseg.device import generator, seeded
from lexiseg.errors import InputError, OptionError
from lexiseg.models.tiny.vision import VisionNet
from lexiseg.training.loop import RunOptions
from lexiseg.training.tiny import features as features_module
from lexiseg.training.tiny.features import FeatureSampling, FeatureStore
from lexiseg.training.tiny.head import HeadRecipe, measure_head, train_head
from lexiseg.training.tiny.negatives import NegativeSampling, open_absent
from lexiseg.training.tiny.photos import is_held_out
from lexiseg.training.tiny.words import SetWords, WordBank

HOW = FeatureSampling(
    views=4, short_side=64, short_sides=(60.0, 100.0), crop_hw=(64, 96), places=48
)


class Colours(nn.Module):
    """In place of the picture side: a place's features are its mean colour, in [-1, 1]."""

    config = replace(SMALL, fine_dim=3)

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3))

    def backbone(self, pixels: Tensor) -> tuple[Tensor]:
        return (pixels,)

    def decode(self, pixels: Tensor) -> Tensor:
        return F.avg_pool2d(pixels, 4).permute(0, 2, 3, 1) + self.bias


def write_coordinates(root: Path, count: int, classes: Sequence[str] = CLASSES) -> SemanticDataset:
    """Photos whose red is the column and whose green is the row; classes are wide stripes."""
    for part in ("images", "masks"):
        (root / "train" / part).mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:80, :120]
    photo = np.stack([2 * x, 3 * y, 0 * x], -1).astype(np.uint8)
    mask = (x // 40 + 1).astype(np.uint8)  # 1, 2, 3: ball, box, left fin
    mask[60:] = 255
    for number in range(count):
        Image.fromarray(photo).save(root / "train" / "images" / f"p{number}.png")
        Image.fromarray(mask).save(root / "train" / "masks" / f"p{number}.png")
    card = {"title": "t", "classes": classes, "background_index": 0, "ignore_index": 255}
    (root / "dataset.json").write_text(json.dumps(card))
    return open_set(root, "train")


def store_of(folder: Path, data: SemanticDataset, net: Any = None, **changes: Any) -> FeatureStore:
    hold_out = changes.pop("hold_out", True)
    return FeatureStore(
        folder, [data], net or Colours(), replace(HOW, **changes), hold_out=hold_out
    )


# Features


def test_labels_are_those_of_the_places_after_crop_scale_and_flip(tmp_path: Path) -> None:
    data = write_coordinates(tmp_path / "toy", 8)
    store = store_of(tmp_path / "f", data)
    held = [is_held_out("toy", f"p{number}") for number in range(8)]
    assert len(store) == sum(1 if one else 4 for one in held)
    assert store.held_out.sum() == sum(held)
    flips = set()
    for v in range(len(store)):
        red, green = ((store.features[v, :, k].astype(float) + 1) * 127.5 for k in (0, 1))
        column, row = red / 2, green / 3
        inside = (row < 57) & (np.abs(column % 40 - 20) < 16)  # away from the stripes' borders
        wanted = (column // 40 + 1).astype(int)
        mirrored = np.where(wanted == 3, 4, wanted)  # left fin <-> right fin
        fits = [np.array_equal(store.labels[v][inside], w[inside]) for w in (wanted, mirrored)]
        assert any(fits)
        flips.add(tuple(fits))
        assert store.labels[v].min() >= 1
        assert store.labels[v].max() <= 4
        assert row.max() < 60
    assert len(flips) > 1
    first = store.labels[np.flatnonzero(store.photos == 0)[0]][: 3 * (HOW.num_balanced // 3)]
    assert np.bincount(first).tolist() == [0, 8, 8, 8]


def test_an_ended_encoding_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_coordinates(tmp_path / "toy", 4)
    whole = store_of(tmp_path / "whole", data)
    decode, calls = features_module.decode_view, []

    def ends(net: VisionNet, pixels: NDArray[np.uint8]) -> Tensor:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return decode(net, pixels)

    monkeypatch.setattr(features_module, "decode_view", ends)
    with pytest.raises(KeyboardInterrupt):
        store_of(tmp_path / "ended", data)
    calls[:] = [0] * 9  # no longer 3
    (file,) = (tmp_path / "ended").glob("*.float16")
    with file.open("ab") as more:
        more.write(b"half a row")
    again = store_of(tmp_path / "ended", data)
    assert len(calls) == 9 + len(whole) - 3
    np.testing.assert_array_equal(again.features, whole.features)
    np.testing.assert_array_equal(again.labels, whole.labels)


def test_a_set_may_have_fewer_views(tmp_path: Path) -> None:
    data = write_coordinates(tmp_path / "toy", 3)
    own = store_of(tmp_path / "f", data, set_views={"toy": 2, "other": 7}, hold_out=False)
    assert np.bincount(own.photos).tolist() == [2, 2, 2]


def test_features_are_kept_until_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_coordinates(tmp_path / "toy", 3)
    calls: list[int] = []
    decode = features_module.decode_view

    def counted(net: VisionNet, pixels: NDArray[np.uint8]) -> Tensor:
        calls.append(1)
        return decode(net, pixels)

    monkeypatch.setattr(features_module, "decode_view", counted)
    first = store_of(tmp_path / "f", data)
    count = len(calls)
    again = store_of(tmp_path / "f", data)
    assert len(calls) == count
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(first.labels, again.labels)
    other = Colours()
    nn.init.ones_(other.bias)
    keys = {first.key, store_of(tmp_path / "f", data, other).key}
    keys.add(store_of(tmp_path / "f", data, views=2).key)
    keys.add(store_of(tmp_path / "f", data, hold_out=False).key)
    for part in ("images", "masks"):
        file = tmp_path / "toy" / "train" / part / "p1.png"
        with Image.open(file) as picture:
            pixels = np.array(picture)
        Image.fromarray(pixels[:, ::-1]).save(file)
        keys.add(store_of(tmp_path / "f", data).key)
    assert len(keys) == 6
    head = VisionNet(SMALL)
    key = store_of(tmp_path / "g", data, head).key
    nn.init.zeros_(head.head.weight)  # behind what is kept
    assert store_of(tmp_path / "g", data, head).key == key


def test_a_view_does_not_depend_on_other_photos(tmp_path: Path) -> None:
    few = store_of(tmp_path / "f", write_coordinates(tmp_path / "toy", 2), hold_out=False)
    many = store_of(tmp_path / "g", write_coordinates(tmp_path / "toy", 5), hold_out=False)
    np.testing.assert_array_equal(few.features, many.features[: len(few)])


def test_photos_without_labels_are_refused(tmp_path: Path) -> None:
    data = write_coordinates(tmp_path / "toy", 2)
    for file in (tmp_path / "toy" / "train" / "masks").iterdir():
        Image.fromarray(np.full((80, 120), 255, np.uint8)).save(file)
    with pytest.raises(InputError, match="labelled"):
        store_of(tmp_path / "f", data)


def test_photos_of_animals_are_those_without_people(tmp_path: Path) -> None:
    for part in ("train/images", "seeds"):
        (tmp_path / part).mkdir(parents=True)
    for wnid in ("n01440764", "n02099601", "n02487347", "n02690373"):  # the last is an airliner
        photo = Image.fromarray(np.zeros((20, 30, 3), np.uint8))
        photo.save(tmp_path / "train" / "images" / f"{wnid}.png")
    for wnid, seed in (("n01440764", 0), ("n02099601", 16)):  # a person, a dog
        seeds = np.full((20, 30), 80, np.uint8)
        seeds[5:9, 5:9] = seed
        Image.fromarray(seeds).save(tmp_path / "seeds" / f"{wnid}.png")
    found = open_absent(tmp_path, NegativeSampling())
    assert found is not None
    assert [sample.id for sample in found] == ["n02099601", "n02487347"]
    assert found.classes[:2] == ("background", "person")
    assert not found[0].labels((20, 30)).any()
    assert open_absent(tmp_path / "nowhere", NegativeSampling()) is None
    assert open_absent(tmp_path, NegativeSampling(absent_words=())) is None


# The head


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> SemanticDataset:
    root = tmp_path_factory.mktemp("data") / "shapes"
    write_shapes(root, "train", range(24))
    return open_set(root, "train")


def net_of(seed: int = 2) -> VisionNet:
    with seeded(seed):
        return VisionNet(SMALL)


def bank_of(sets: Sequence[SemanticDataset]) -> WordBank:
    """Random meanings of the sets' words; "crate", a background word, is a "box"."""
    bank = word_bank([shape_set()])
    words = [SetWords(torch.tensor([bank.words.index(c) for c in s.classes]), 0) for s in sets]
    return replace(bank, sets=tuple(words))


RECIPE = HeadRecipe(
    steps=6, lr=2e-2, warmup_steps=2, save_every=2, batch=6, evaluate_every=3, ema_decay=0.9,
    sampling=HOW,
)  # fmt: skip


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_only_the_head_learns_and_a_run_in_parts_is_the_whole(
    shapes: SemanticDataset, tmp_path: Path
) -> None:
    before = net_of().state_dict()

    def train(name: str, stop_after: int | None = None, **changes: Any) -> dict[str, Tensor]:
        fitted = train_head(
            net_of(), [shapes], bank_of([shapes]), tmp_path / name, replace(RECIPE, **changes),
            options=RunOptions(stop_after=stop_after),
        )  # fmt: skip
        return fitted.net.state_dict()

    whole = train("whole")
    train("parts", stop_after=3)
    parts = train("parts")
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    learned = {name for name in whole if not torch.equal(whole[name], before[name])}
    assert learned == {
        "norm.weight", "norm.bias", "head.weight", "head.bias", "words.weight", "words.bias",
        "log_scale",
    }  # fmt: skip
    assert ["mean_iou" in line for line in lines(tmp_path / "whole")] == [False, False, True] * 2
    with pytest.raises(OptionError, match="noise"):
        train("parts", noise=0.5)


def test_the_head_learns_to_tell_shapes_apart(shapes: SemanticDataset, tmp_path: Path) -> None:
    """On colours that a fixed projection lays out, since a random picture side tells little."""
    net = net_of()
    recipe = replace(RECIPE, steps=80, warmup_steps=5, evaluate_every=20)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(features_module, "decode_view", _colours)
        fitted = train_head(net, [shapes], bank_of([shapes]), tmp_path, recipe)
    assert fitted.finished
    scores = [line["mean_iou"] for line in lines(tmp_path) if "mean_iou" in line]
    assert max(scores) > 0.6
    store = FeatureStore(tmp_path / "features", [shapes], fitted.net, recipe.sampling)
    best = measure_head(fitted.net, store, ["shapes"], bank_of([shapes]))
    assert best["mean_iou"] == pytest.approx(max(scores), abs=1e-5)


def _colours(net: VisionNet, pixels: NDArray[np.uint8]) -> Tensor:
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    cells = F.avg_pool2d(x, 4)[0].permute(1, 2, 0)
    mixed = torch.randn(3, SMALL.fine_dim, generator=generator(0))
    return torch.tanh(2 * cells @ mixed)


def test_the_measure_is_a_slow_one(shapes: SemanticDataset, tmp_path: Path) -> None:
    absent = replace(shapes, name="none", classes=("background", "ball"))
    absent = replace(absent, samples=tuple(replace(s, truth=_Blank()) for s in shapes.samples))
    sets, net = [shapes, absent], net_of().requires_grad_(False)
    bank = bank_of(sets)
    store = FeatureStore(tmp_path, sets, net, HOW)
    made = measure_head(net, store, ["shapes", "none"], bank)
    vectors = net.project(bank.meanings[0])
    for s, name in enumerate(("shapes", "none")):
        inside, union, shown = dict[str, int](), dict[str, int](), dict[str, int]()
        for v in np.flatnonzero((store.sets == s) & store.held_out):
            labels = store.labels[v][HOW.num_balanced :]
            for c in set(labels.tolist()):
                shown[sets[s].classes[c]] = shown.get(sets[s].classes[c], 0) + 1
            for place, label in enumerate(labels, start=HOW.num_balanced):
                feature = net.embed(torch.from_numpy(store.features[v, place].astype(np.float32)))
                score = {w: float(net.scale() * feature @ vectors[i])
                         for i, w in enumerate(bank.words)}  # fmt: skip
                named = sets[s].classes[1:]
                rest = [bank.words[i] for i in bank.background
                        if not (bank.words[i] == "crate" and "box" in named)]  # fmt: skip
                best = max(named, key=score.__getitem__)
                if np.log(sum(np.exp(score[w]) for w in rest)) > score[best]:
                    best = "background"
                truth = sets[s].classes[label]
                for c in {truth, best}:
                    union[c] = union.get(c, 0) + 1
                    inside[c] = inside.get(c, 0) + int(truth == best)
        ious = [inside[c] / union[c] for c, n in shown.items() if n >= 2]
        assert made[f"iou.{name}"] == pytest.approx(np.mean(ious), abs=1e-9)
    assert made["mean_iou"] == pytest.approx((made["iou.shapes"] + made["iou.none"]) / 2)


class _Blank:
    def labels(self, size_hw: tuple[int, int]) -> NDArray[np.int32]:
        return np.zeros(size_hw, np.int32)

    def __repr__(self) -> str:
        return "blank"
