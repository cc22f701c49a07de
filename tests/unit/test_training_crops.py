"""Crops for the picture side: what is drawn, and that labels stay with their places."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.training_data import bare_set

from lexiseg.datasets import open_set
from lexiseg.training.tiny.crops import (
    CropBatch,
    CropSampling,
    ImageSet,
    is_held_out,
    load_set,
    load_unlabelled,
    make_crops,
    mirrored_classes,
)

CLASSES = ("background", "left eye", "right eye", "hair")
HEIGHT, WIDTH = 48, 80


def coordinates() -> NDArray[np.uint8]:
    """A photo (48, 80, 3) whose red says the column (times 3) and whose green the row (times 5)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([3 * x, 5 * y, np.full_like(x, 100)], -1).astype(np.uint8)


def regions(number: int) -> NDArray[np.uint8]:
    """Class indices (48, 80), 255 in a corner; only the last photo has hair."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:40, 5:30] = 1
    mask[8:44, 45:75] = 2
    if number == 5:
        mask[:8] = 3
    mask[40:, 70:] = 255
    return mask


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 6 photos to train with, and one that is kept out."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    for part in ("images", "masks"):
        (folder / "train" / part).mkdir(parents=True)
    card = {"title": "Toy", "classes": CLASSES, "background_index": 0, "ignore_index": 255}
    (folder / "dataset.json").write_text(json.dumps(card))
    names = [f"p{i}" for i in range(200)]
    kept = [n for n in names if not is_held_out("toy", n)][:6]
    for i, name in enumerate([*kept, next(n for n in names if is_held_out("toy", n))]):
        Image.fromarray(coordinates()).save(folder / "train" / "images" / f"{name}.png")
        Image.fromarray(regions(i)).save(folder / "train" / "masks" / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def toy(root: Path) -> ImageSet:
    return load_set(open_set(root, "train"), rarity=0.6)


# At its own size: crops are cut out, not scaled.
WHOLE = CropSampling(
    batch=4, sizes_hw=((32, 64), (40, 48)), short_sides=(48.0, 48.0), points=200, jitter=0.0
)


def test_photos_that_are_kept_out_are_left_out(root: Path, toy: ImageSet) -> None:
    assert len(open_set(root, "train")) == 7
    assert len(toy.photos) == 6
    share = np.mean([is_held_out("voc", f"2008_{i:06}") for i in range(20_000)])
    assert share == pytest.approx(1 / 16, abs=0.03)
    assert any(is_held_out("voc", str(i)) != is_held_out("msrc", str(i)) for i in range(200))


def test_a_set_in_memory(toy: ImageSet) -> None:
    assert (toy.name, toy.classes, toy.background_index) == ("toy", CLASSES, 0)
    assert toy.masks is not None
    for photo, mask in zip(toy.photos, toy.masks, strict=True):
        np.testing.assert_array_equal(photo, coordinates())
        assert mask.dtype == np.uint8
    assert sum((mask == 3).any() for mask in toy.masks) == 1
    assert toy.mirrored == {1: 2, 2: 1}


def test_photos_are_drawn_by_their_rarest_class(toy: ImageSet) -> None:
    assert toy.masks is not None
    rare = [bool((mask == 3).any()) for mask in toy.masks].index(True)
    assert toy.weights.sum() == pytest.approx(1)
    others = np.delete(toy.weights, rare)
    assert np.ptp(others) < 1e-9
    assert toy.weights[rare] / others[0] == pytest.approx(6**0.6, rel=1e-6)


def test_photos_without_labels(tmp_path: Path) -> None:
    (tmp_path / "train" / "images").mkdir(parents=True)
    for i in range(3):
        image = Image.fromarray(coordinates())
        image.save(tmp_path / "train" / "images" / f"{i}.webp", lossless=True)
    made = load_unlabelled("bare", tmp_path)
    assert (made.name, made.masks, len(made.photos)) == ("bare", None, 3)
    np.testing.assert_array_equal(made.photos[2], coordinates())


def equal(a: CropBatch, b: CropBatch) -> bool:
    arrays = [(a.pixels, b.pixels), (a.points_xy, b.points_xy), (a.labels, b.labels)]
    asked = all(
        (x is None) == (y is None) and (x is None or np.array_equal(x, y))
        for x, y in zip(a.queried, b.queried, strict=True)
    )
    whole = all(x.shape == y.shape and np.array_equal(x, y) for x, y in arrays)
    return whole and asked and a.sets == b.sets and a.seed == b.seed


def test_a_batch_is_a_function_of_seed_and_step(toy: ImageSet) -> None:
    sets = [toy, bare_set()]
    how = CropSampling(batch=3, sizes_hw=((32, 64), (64, 32)), points=50)
    first = [make_crops(sets, [0.7, 0.3], how, 5, step) for step in range(4)]
    again = [make_crops(sets, [0.7, 0.3], how, 5, step) for step in reversed(range(4))][::-1]
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))
    assert not equal(first[0], first[1])
    assert not equal(first[0], make_crops(sets, [0.7, 0.3], how, 6, 0))


def test_a_batch_has_the_sizes_asked_for(toy: ImageSet) -> None:
    shapes = set()
    for step in range(12):
        batch = make_crops([toy], [1.0], WHOLE, 0, step)
        assert batch.pixels.dtype == np.uint8
        assert batch.points_xy.shape == (4, 200, 2)
        assert batch.labels.shape == (4, 200)
        assert np.abs(batch.points_xy).max() < 1
        shapes.add(batch.pixels.shape)
    assert shapes == {(4, 32, 64, 3), (4, 40, 48, 3)}


def looked_up(batch: CropBatch, b: int) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Where in the photo each point lies, by the colours in the batch, and if it is flipped."""
    _, h, w, _ = batch.pixels.shape
    columns = np.floor((batch.points_xy[b, :, 0] + 1) / 2 * w).astype(int)
    rows = np.floor((batch.points_xy[b, :, 1] + 1) / 2 * h).astype(int)
    red, green = batch.pixels[b, rows, columns, :2].astype(float).T
    flipped = batch.pixels[b, 0, 0, 0] > batch.pixels[b, 0, -1, 0]
    return np.rint(green / 5).astype(int), np.rint(red / 3).astype(int), bool(flipped)


def test_labels_are_those_of_the_places_after_crop_and_flip(toy: ImageSet) -> None:
    assert toy.masks is not None
    flips, swapped, ignored = set(), 0, 0
    for step in range(10):
        batch = make_crops([toy], [1.0], WHOLE, 3, step)
        for b in range(4):
            y, x, flipped = looked_up(batch, b)
            flips.add(flipped)
            # All masks but the one with hair are alike: take whichever agrees with row 0.
            fits = []
            for mask in toy.masks:
                wanted = mask[y, x].astype(int)
                wanted[wanted == 255] = -1
                if flipped:
                    left, right = wanted == 1, wanted == 2
                    wanted[left], wanted[right] = 2, 1
                fits.append(np.array_equal(batch.labels[b], wanted))
            assert any(fits)
            swapped += int(flipped and np.isin(batch.labels[b], [1, 2]).any())
            ignored += int((batch.labels[b] == -1).any())
    assert flips == {False, True}
    assert swapped > 3
    assert ignored > 0


def test_labels_fit_their_places_in_scaled_crops_too(toy: ImageSet) -> None:
    assert toy.masks is not None
    how = replace(WHOLE, short_sides=(30.0, 90.0))
    plain = regions(0)
    checked = 0
    for step in range(10):
        batch = make_crops([toy], [1.0], how, 4, step)
        for b in range(4):
            y, x, flipped = looked_up(batch, b)
            if (batch.labels[b] == 3).any():
                continue  # the photo with hair has another mask
            for row, column, label in zip(y, x, batch.labels[b], strict=True):
                near = plain[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
                if len(np.unique(near)) > 1 or row < 11:
                    continue  # at a border rounding decides
                wanted = {255: -1, 0: 0, 1: 2 if flipped else 1, 2: 1 if flipped else 2}
                assert label == wanted[int(near[0, 0])]
                checked += 1
    assert checked > 2000


def test_the_first_points_are_drawn_evenly_over_the_classes(toy: ImageSet) -> None:
    how = replace(WHOLE, sizes_hw=((48, 80),), balanced_share=0.5)
    for step in range(4):
        batch = make_crops([toy], [1.0], how, 0, step)
        for labels in batch.labels:
            seen, counts = np.unique(labels[:99], return_counts=True)
            assert seen.min() >= 0
            assert np.ptp(counts) <= 1
            assert len(seen) in (3, 4)


def test_photos_without_masks_have_no_labels() -> None:
    batch = make_crops([bare_set()], [1.0], WHOLE, 0, 0)
    assert (batch.labels == -1).all()
    assert batch.queried == [None] * 4


def test_sets_are_drawn_by_their_shares(toy: ImageSet) -> None:
    how = CropSampling(batch=20, sizes_hw=((16, 24),), points=4)
    drawn = [
        s for step in range(20) for s in make_crops([toy, bare_set()], [3, 1], how, 0, step).sets
    ]
    assert np.mean(drawn) == pytest.approx(0.25, abs=0.08)


def test_now_and_then_only_some_words_are_asked(toy: ImageSet) -> None:
    how = CropSampling(batch=20, sizes_hw=((16, 24),), points=8)
    asked = [a for step in range(20) for a in make_crops([toy], [1.0], how, 0, step).queried]
    some = [a for a in asked if a is not None]
    assert len(some) / len(asked) == pytest.approx(how.subset_share, abs=0.1)
    assert all(a.shape == (4,) and a[0] for a in some)  # the background is always asked
    assert 0.3 < np.mean([a[1:] for a in some]) < 0.7


def test_colours_change_a_little_only_where_that_is_asked(toy: ImageSet) -> None:
    plain = make_crops([toy], [1.0], WHOLE, 0, 0).pixels.astype(int)
    shaken = make_crops([toy], [1.0], replace(WHOLE, jitter=0.25), 0, 0).pixels.astype(int)
    change = np.abs(plain - shaken)
    assert 0 < change.mean() < 60


def test_left_and_right_trade_places() -> None:
    names = ["left eye", "hair", "right eye", "left", "Left hand", "leftover", "right ear"]
    assert mirrored_classes(names) == {0: 2, 2: 0}
    assert mirrored_classes(["eye, left", "eye, right"]) == {0: 1, 1: 0}
