"""Photos to train on: which are held out, and what is read of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lexiseg.datasets import open_set
from lexiseg.errors import InputError
from lexiseg.training.tiny.photos import (
    ABSENT,
    SEEDS,
    ImageSet,
    is_held_out,
    load_set,
    load_unlabelled,
    mirrored_classes,
    open_seeds,
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


def test_large_photos_are_made_smaller(root: Path) -> None:
    made = load_set(open_set(root, "train"), rarity=0.6, max_short_side=24)
    assert made.masks is not None
    for photo, mask in zip(made.photos, made.masks, strict=True):
        assert photo.shape == (24, 40, 3)
        np.testing.assert_allclose(photo.mean((0, 1)), coordinates().mean((0, 1)), atol=1)
        assert set(np.unique(mask)) <= {0, 1, 2, 3, 255}


def test_a_set_without_photos_to_train_on_is_refused(root: Path) -> None:
    held = [s.id for s in open_set(root, "train") if is_held_out("toy", s.id)]
    with pytest.raises(InputError, match="not held out"):
        load_set(open_set(root, "train").subset(held), rarity=0.6)


def write_photos(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(coordinates()).save(folder / f"{name}.webp", lossless=True)


def test_photos_without_labels(tmp_path: Path) -> None:
    names = [f"n{k}" for k in range(40)]
    write_photos(tmp_path / "train" / "images", names)
    made = load_unlabelled("bare", tmp_path)
    kept = [name for name in names if not is_held_out(ABSENT, name)]
    assert (made.name, made.masks) == ("bare", None)
    assert len(made.photos) == len(kept) < 40
    np.testing.assert_array_equal(made.photos[2], coordinates())
    with pytest.raises(InputError, match="holds no photos"):
        load_unlabelled("bare", tmp_path / "nowhere")


def test_seed_masks_say_only_what_is_sure(tmp_path: Path) -> None:
    """Two folders with their photos at different depths; photos without a seed mask are left out,
    and a photo that is held out as one that lacks words is held out here too."""
    assert open_seeds([tmp_path]) is None
    write_photos(tmp_path / "one" / "images", ["a", "b", "bare"])
    write_photos(tmp_path / "two" / "train" / "images", ["n01440764"])
    mask = np.full((HEIGHT, WIDTH), 80, np.uint8)
    mask[5:30, 10:50] = 255
    mask[10:20, 20:40] = 16
    for name in ("one/seeds/a", "one/seeds/b", "two/seeds/n01440764"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(mask).save(path)
    made = open_seeds([tmp_path / "one", tmp_path / "two", tmp_path / "none"])
    assert made is not None
    assert (made.name, [s.id for s in made]) == (SEEDS, ["a", "b", "n01440764"])
    assert (len(made.classes), made.classes[16], made.background_index) == (81, "dog", 80)
    labels = made[0].labels((HEIGHT, WIDTH))
    assert {made.classes[k] for k in np.unique(labels) if k != 255} == {"dog", "background"}
    assert all(is_held_out(SEEDS, f"n{k}") == is_held_out(ABSENT, f"n{k}") for k in range(200))


def test_left_and_right_trade_places() -> None:
    names = ["left eye", "hair", "right eye", "left", "Left hand", "leftover", "right ear"]
    assert mirrored_classes(names) == {0: 2, 2: 0}
    assert mirrored_classes(["eye, left", "eye, right"]) == {0: 1, 1: 0}
