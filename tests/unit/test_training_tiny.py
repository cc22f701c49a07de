"""The recipe of the bundled model, in miniature: small photos, small nets, slow references."""

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
from torch import Tensor, nn

from lexiseg.datasets import open_set
from lexiseg.device import seeded
from lexiseg.errors import InputError
from lexiseg.models.tiny.backbone import FROZEN_BLOCKS, MobileNetV2
from lexiseg.models.tiny.masknet import MaskNetConfig
from lexiseg.models.tiny.text import TextConfig, TextTower, tokenise
from lexiseg.models.tiny.vision import VisionConfig, VisionNet
from lexiseg.training.state import save_whole
from lexiseg.training.tiny.losses import WordBank, head_loss, points_at, word_loss
from lexiseg.training.tiny.masker import MaskerRecipe
from lexiseg.training.tiny.objects import ObjectSampling
from lexiseg.training.tiny.pictures import (
    Batch,
    PictureSet,
    Sampling,
    batches,
    is_dev,
    load_set,
    load_unlabelled,
    make_batch,
)
from lexiseg.training.tiny.text import TextRecipe, build_corpus, train_text
from lexiseg.training.tiny.vision import VisionRecipe, train_vision
from lexiseg.training.tiny.wordnet import read_nouns
from lexiseg.training.tiny.words import mirrored, spelled

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
    kept = [n for n in names if not is_dev("toy", n)][:6]
    for i, name in enumerate([*kept, next(n for n in names if is_dev("toy", n))]):
        Image.fromarray(coordinates()).save(folder / "train" / "images" / f"{name}.png")
        Image.fromarray(regions(i)).save(folder / "train" / "masks" / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def toy(root: Path) -> PictureSet:
    return load_set(open_set(root, "train"), rarity=0.6)


def photos_only(count: int = 3) -> PictureSet:
    rng = np.random.default_rng(8)
    photos = [rng.integers(0, 256, (40, 56, 3)).astype(np.uint8) for _ in range(count)]
    return PictureSet("bare", (), None, photos, None, np.full(count, 1 / count), {})


# At its own size: crops are cut out, not scaled.
WHOLE = Sampling(
    batch=4, sizes_hw=((32, 64), (40, 48)), short_sides=(48.0, 48.0), points=200, jitter=0.0
)


# Photos


def test_photos_that_are_kept_out_are_left_out(root: Path, toy: PictureSet) -> None:
    assert len(open_set(root, "train")) == 7
    assert len(toy.photos) == 6
    share = np.mean([is_dev("voc", f"2008_{i:06}") for i in range(20_000)])
    assert share == pytest.approx(1 / 16, abs=0.03)
    assert any(is_dev("voc", str(i)) != is_dev("msrc", str(i)) for i in range(200))


def test_a_set_in_memory(toy: PictureSet) -> None:
    assert (toy.name, toy.classes, toy.background_index) == ("toy", CLASSES, 0)
    assert toy.masks is not None
    for photo, mask in zip(toy.photos, toy.masks, strict=True):
        np.testing.assert_array_equal(photo, coordinates())
        assert mask.dtype == np.uint8
    assert sum((mask == 3).any() for mask in toy.masks) == 1
    assert toy.swaps == {1: 2, 2: 1}


def test_photos_are_drawn_by_their_rarest_class(toy: PictureSet) -> None:
    assert toy.masks is not None
    rare = [bool((mask == 3).any()) for mask in toy.masks].index(True)
    assert toy.draw.sum() == pytest.approx(1)
    others = np.delete(toy.draw, rare)
    assert np.ptp(others) < 1e-9
    assert toy.draw[rare] / others[0] == pytest.approx(6**0.6, rel=1e-6)


def test_photos_without_labels(tmp_path: Path) -> None:
    (tmp_path / "train" / "images").mkdir(parents=True)
    for i in range(3):
        image = Image.fromarray(coordinates())
        image.save(tmp_path / "train" / "images" / f"{i}.webp", lossless=True)
    made = load_unlabelled("bare", tmp_path)
    assert (made.name, made.masks, len(made.photos)) == ("bare", None, 3)
    np.testing.assert_array_equal(made.photos[2], coordinates())


# Batches


def equal(a: Batch, b: Batch) -> bool:
    arrays = [(a.pixels, b.pixels), (a.points_xy, b.points_xy), (a.labels, b.labels)]
    asked = all(
        (x is None) == (y is None) and (x is None or np.array_equal(x, y))
        for x, y in zip(a.asked, b.asked, strict=True)
    )
    whole = all(x.shape == y.shape and np.array_equal(x, y) for x, y in arrays)
    return whole and asked and a.sets == b.sets and a.seed == b.seed


def test_a_batch_is_a_function_of_seed_and_step(toy: PictureSet) -> None:
    sets = [toy, photos_only()]
    how = Sampling(batch=3, sizes_hw=((32, 64), (64, 32)), points=50)
    first = [make_batch(sets, [0.7, 0.3], how, 5, step) for step in range(4)]
    again = [make_batch(sets, [0.7, 0.3], how, 5, step) for step in reversed(range(4))][::-1]
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))
    assert not equal(first[0], first[1])
    assert not equal(first[0], make_batch(sets, [0.7, 0.3], how, 6, 0))
    fed = list(batches(sets, [0.7, 0.3], how, 5, range(1, 4)))
    assert [equal(a, b) for a, b in zip(first[1:], fed, strict=True)] == [True] * 3
    assert list(batches(sets, [0.7, 0.3], how, 5, range(2, 2))) == []


def test_a_batch_has_the_sizes_asked_for(toy: PictureSet) -> None:
    shapes = set()
    for step in range(12):
        batch = make_batch([toy], [1.0], WHOLE, 0, step)
        assert batch.pixels.dtype == np.uint8
        assert batch.points_xy.shape == (4, 200, 2)
        assert batch.labels.shape == (4, 200)
        assert np.abs(batch.points_xy).max() < 1
        shapes.add(batch.pixels.shape)
    assert shapes == {(4, 32, 64, 3), (4, 40, 48, 3)}


def looked_up(batch: Batch, b: int) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Where in the photo each point lies, by the colours in the batch, and if it is flipped."""
    _, h, w, _ = batch.pixels.shape
    columns = np.floor((batch.points_xy[b, :, 0] + 1) / 2 * w).astype(int)
    rows = np.floor((batch.points_xy[b, :, 1] + 1) / 2 * h).astype(int)
    red, green = batch.pixels[b, rows, columns, :2].astype(float).T
    flipped = batch.pixels[b, 0, 0, 0] > batch.pixels[b, 0, -1, 0]
    return np.rint(green / 5).astype(int), np.rint(red / 3).astype(int), bool(flipped)


def test_labels_are_those_of_the_places_after_crop_and_flip(toy: PictureSet) -> None:
    assert toy.masks is not None
    flips, swapped, ignored = set(), 0, 0
    for step in range(10):
        batch = make_batch([toy], [1.0], WHOLE, 3, step)
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


def test_labels_fit_their_places_in_scaled_crops_too(toy: PictureSet) -> None:
    assert toy.masks is not None
    how = replace(WHOLE, short_sides=(30.0, 90.0))
    plain = regions(0)
    checked = 0
    for step in range(10):
        batch = make_batch([toy], [1.0], how, 4, step)
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


def test_the_first_points_are_drawn_evenly_over_the_classes(toy: PictureSet) -> None:
    how = replace(WHOLE, sizes_hw=((48, 80),), even_share=0.5)
    for step in range(4):
        batch = make_batch([toy], [1.0], how, 0, step)
        for labels in batch.labels:
            seen, counts = np.unique(labels[:99], return_counts=True)
            assert seen.min() >= 0
            assert np.ptp(counts) <= 1
            assert len(seen) in (3, 4)


def test_photos_without_masks_have_no_labels() -> None:
    batch = make_batch([photos_only()], [1.0], WHOLE, 0, 0)
    assert (batch.labels == -1).all()
    assert batch.asked == [None] * 4


def test_sets_are_drawn_by_their_shares(toy: PictureSet) -> None:
    how = Sampling(batch=20, sizes_hw=((16, 24),), points=4)
    drawn = [
        s for step in range(20) for s in make_batch([toy, photos_only()], [3, 1], how, 0, step).sets
    ]
    assert np.mean(drawn) == pytest.approx(0.25, abs=0.08)


def test_now_and_then_only_some_words_are_asked(toy: PictureSet) -> None:
    how = Sampling(batch=20, sizes_hw=((16, 24),), points=8)
    asked = [a for step in range(20) for a in make_batch([toy], [1.0], how, 0, step).asked]
    some = [a for a in asked if a is not None]
    assert len(some) / len(asked) == pytest.approx(how.subset_share, abs=0.1)
    assert all(a.shape == (4,) and a[0] for a in some)  # the background is always asked
    assert 0.3 < np.mean([a[1:] for a in some]) < 0.7


def test_colours_change_a_little_only_where_that_is_asked(toy: PictureSet) -> None:
    plain = make_batch([toy], [1.0], WHOLE, 0, 0).pixels.astype(int)
    shaken = make_batch([toy], [1.0], replace(WHOLE, jitter=0.25), 0, 0).pixels.astype(int)
    change = np.abs(plain - shaken)
    assert 0 < change.mean() < 60


# Losses


def word_bank(sets: Sequence[PictureSet], dim: int = 12, seed: int = 0) -> WordBank:
    """Random meanings; "hair" is the same as the background word "wig"."""
    background = ("wall", "wig", "floor")
    words = tuple(dict.fromkeys([*(c for s in sets for c in s.classes), *background, "fish", "ox"]))
    generator = torch.Generator().manual_seed(seed)
    meanings = F.normalize(torch.randn(3, len(words), dim, generator=generator), dim=-1)
    alike = torch.eye(len(words)).bool()
    if "hair" in words:
        i, j = words.index("hair"), words.index("wig")
        alike[i, j] = alike[j, i] = True

    def rows(names: Sequence[str]) -> Tensor:
        return torch.tensor([words.index(n) for n in names], dtype=torch.long)

    return WordBank(
        words, meanings, {s.name: rows(s.classes) for s in sets if s.classes}, rows(background),
        torch.arange(1000) % 2 + words.index("fish"), alike,
    )  # fmt: skip


def test_phrasings_vary_by_seed() -> None:
    bank = word_bank([photos_only()])
    count = len(bank.words)
    still = bank.vary(0.0, 7)
    for k in range(count):
        assert any(torch.allclose(still[k], bank.meanings[v, k], atol=1e-6) for v in range(3))
    torch.testing.assert_close(bank.vary(0.3, 7), bank.vary(0.3, 7), rtol=0, atol=0)
    assert not torch.allclose(bank.vary(0.3, 7), bank.vary(0.3, 8))
    torch.testing.assert_close(bank.vary(0.3, 7).norm(dim=-1), torch.ones(count))
    bare = [
        torch.allclose(row, bank.meanings[0, k], atol=1e-6)
        for seed in range(60)
        for k, row in enumerate(bank.vary(0.0, seed))
    ]
    assert np.mean(bare) == pytest.approx(2 / 3, abs=0.08)  # half, and a third of the rest


def test_values_at_points_are_bilinear() -> None:
    rng = torch.Generator().manual_seed(1)
    grid, points = (
        torch.randn(2, 5, 7, 3, generator=rng),
        torch.rand(2, 40, 2, generator=rng) * 2 - 1,
    )
    points[0, 0], points[0, 1] = torch.tensor([-1.0, 1.0]), torch.tensor([0.999, -0.999])
    made = points_at(grid, points)
    assert made.shape == (2, 40, 3)
    for b in range(2):
        for p in range(40):
            x = min(max((float(points[b, p, 0]) + 1) / 2 * 7 - 0.5, 0.0), 6.0)
            y = min(max((float(points[b, p, 1]) + 1) / 2 * 5 - 0.5, 0.0), 4.0)
            i, j = min(int(y), 3), min(int(x), 5)
            fy, fx = y - i, x - j
            expected = (
                grid[b, i, j] * (1 - fy) * (1 - fx)
                + grid[b, i, j + 1] * (1 - fy) * fx
                + grid[b, i + 1, j] * fy * (1 - fx)
                + grid[b, i + 1, j + 1] * fy * fx
            )
            torch.testing.assert_close(made[b, p], expected, rtol=1e-3, atol=1e-4)


def slow_word_loss(
    features: Tensor, batch: Batch, sets: list[PictureSet], bank: WordBank, vectors: Tensor,
    scale: float, even: int, overlap: float,
) -> tuple[float, float]:  # fmt: skip
    """A photo, a point and a word at a time, with names in place of rows."""
    losses, hits, seen = [], 0, 0
    for b, s in enumerate(batch.sets):
        chosen = sets[s]
        if chosen.masks is None:
            continue
        asked = batch.asked[b]
        named = [
            c
            for i, c in enumerate(chosen.classes)
            if i != chosen.background_index and (asked is None or asked[i])
        ]
        is_open = chosen.background_index is not None or asked is not None
        number = {word: bank.words.index(word) for word in bank.words}
        rest = [
            w
            for w in (bank.words[i] for i in bank.background.tolist())
            if not any(bank.alike[number[w], number[n]] for n in named)
        ]
        columns = [*named, None] if is_open else named
        rows = []
        for p, label in enumerate(batch.labels[b].tolist()):
            if label < 0:
                continue
            name = chosen.classes[label]
            target = columns.index(name) if name in named else len(named)
            cosine = {w: float(features[b, p] @ vectors[number[w]]) for w in [*named, *rest]}
            logits = [scale * cosine[n] for n in named]
            if is_open:
                logits.append(float(np.log(sum(np.exp(scale * cosine[w]) for w in rest))))
            weight = np.exp(np.array(logits) - max(logits))
            rows.append((p, target, weight / weight.sum()))
            hits += int(np.argmax(logits) == target)
            seen += 1
        if not rows:
            continue
        loss = float(np.mean([-np.log(share[target]) for _, target, share in rows]))
        spread = [(target, share) for p, target, share in rows if p >= even]
        if overlap and spread:
            dice = []
            for column in sorted({target for target, _ in spread}):
                both = sum(share[column] for target, share in spread if target == column)
                made = sum(share[column] for _, share in spread)
                there = sum(target == column for target, _ in spread)
                dice.append(1 - (2 * both + 1) / (made + there + 1))
            loss += overlap * float(np.mean(dice))
        losses.append(loss)
    return float(np.mean(losses)) if losses else 0.0, hits / max(seen, 1)


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_word_loss_equals_a_slow_loop(toy: PictureSet, overlap: float) -> None:
    closed = replace(toy, name="closed", classes=("nothing", *CLASSES[1:]), background_index=None)
    sets = [toy, closed, photos_only()]
    bank = word_bank(sets)
    how = Sampling(batch=5, sizes_hw=((32, 48),), points=60, subset_share=0.6)
    generator = torch.Generator().manual_seed(2)
    kinds = set()
    for step in range(6):
        batch = make_batch(sets, [2, 2, 1], how, 1, step)
        kinds |= {(s, a is None) for s, a in zip(batch.sets, batch.asked, strict=True)}
        features = F.normalize(torch.randn(5, 60, 12, generator=generator), dim=-1)
        vectors = bank.vary(0.1, batch.seed)
        made, accuracy = word_loss(
            features, batch, sets, bank, vectors, torch.tensor(6.0), 21, overlap
        )
        wanted, hits = slow_word_loss(features, batch, sets, bank, vectors, 6.0, 21, overlap)
        assert float(made) == pytest.approx(wanted, rel=1e-4)
        assert accuracy == pytest.approx(hits)
    assert kinds == {(0, True), (0, False), (1, True), (1, False), (2, True)}


def test_word_loss_of_photos_without_masks_is_nothing() -> None:
    sets = [photos_only()]
    batch = make_batch(sets, [1.0], WHOLE, 0, 0)
    features = torch.randn(4, 200, 12, requires_grad=True)
    bank = word_bank(sets)
    loss, accuracy = word_loss(
        features, batch, sets, bank, bank.vary(0, 0), torch.tensor(5.0), 9, 0.5
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert (float(loss.detach()), accuracy) == (0.0, 0.0)
    assert features.grad is not None
    assert not features.grad.any()


def test_head_loss_is_cross_entropy_weighted_by_sureness() -> None:
    rng = torch.Generator().manual_seed(3)
    student = F.normalize(torch.randn(2, 3, 4, 6, generator=rng), dim=-1)
    teacher = 4 * torch.randn(2, 10, 3, 4, generator=rng)
    vectors = F.normalize(torch.randn(10, 6, generator=rng), dim=-1)
    total = weights = 0.0
    for b in range(2):
        for y in range(3):
            for x in range(4):
                wanted = np.exp(teacher[b, :, y, x].numpy())
                wanted /= wanted.sum()
                made = np.exp([7.0 * float(student[b, y, x] @ v) for v in vectors])
                made /= made.sum()
                if wanted.max() > 0.15:
                    total += wanted.max() * -(wanted * np.log(made)).sum()
                    weights += wanted.max()
    made = float(head_loss(student, teacher, vectors, torch.tensor(7.0)))
    assert made == pytest.approx(total / max(weights, 1), rel=1e-4)
    unsure = head_loss(student, torch.zeros(2, 10, 3, 4), vectors, torch.tensor(7.0))
    assert float(unsure) == 0


# Training


SIZES = VisionConfig(
    dim=12, context_dim=16, context_layers=1, heads=2, mlp=24, middle_dim=12, fine_dim=8,
    text_dim=12,
)  # fmt: skip
RECIPE = VisionRecipe(
    steps=6, warmup=2, fall=3, save_every=2,
    sampling=Sampling(batch=2, sizes_hw=((32, 64), (64, 32)), points=40),
)  # fmt: skip


def imagenet() -> tuple[MobileNetV2, nn.Conv2d]:
    with seeded(4):
        return MobileNetV2(), nn.Conv2d(1280, 1001, 1)


def trained(toy: PictureSet, out: Path, stop_after: int | None = None) -> dict[str, Tensor]:
    sets = [toy, photos_only()]
    net = train_vision(sets, word_bank(sets), imagenet(), out, RECIPE, SIZES, stop_after=stop_after)
    return net.state_dict()


def curve(out: Path) -> list[tuple[int, float]]:
    lines = (out / "vision-log.jsonl").read_text().splitlines()
    return [(line["step"], line["loss"]) for line in map(json.loads, lines)]


def test_six_steps_are_three_and_three_bit_for_bit(toy: PictureSet, tmp_path: Path) -> None:
    whole = trained(toy, tmp_path / "whole")
    half = trained(toy, tmp_path / "parts", stop_after=3)
    assert any(not torch.equal(half[name], whole[name]) for name in whole)
    parts = trained(toy, tmp_path / "parts")
    assert list(parts) == list(whole)
    assert [name for name in whole if not torch.equal(parts[name], whole[name])] == []
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    assert [step for step, _ in curve(tmp_path / "whole")] == list(range(6))
    done = trained(toy, tmp_path / "parts")  # nothing is left to do
    assert all(torch.equal(done[name], whole[name]) for name in whole)


def test_a_run_that_is_killed_between_saves_goes_on_from_the_last(
    toy: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lexiseg.training.tiny import vision

    whole = trained(toy, tmp_path / "whole")
    step, calls = vision._step, []

    def dies(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(vision, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        trained(toy, tmp_path / "killed")
    monkeypatch.setattr(vision, "_step", step)
    saved = torch.load(tmp_path / "killed" / "vision-state.pt", weights_only=True)
    assert saved["step"] == 4
    resumed = trained(toy, tmp_path / "killed")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert dict(curve(tmp_path / "killed")) == dict(curve(tmp_path / "whole"))


def test_the_low_blocks_stay_and_the_rest_learns(toy: PictureSet, tmp_path: Path) -> None:
    start, made = imagenet()[0].state_dict(), trained(toy, tmp_path)
    for name, value in start.items():
        part, _, rest = name.partition(".")
        low = part == "stem" or (part == "blocks" and int(rest.split(".")[0]) < FROZEN_BLOCKS)
        assert torch.equal(made[f"backbone.{name}"], value) == low, name
    fresh = VisionNet(SIZES).state_dict()
    assert set(fresh) == set(made)
    assert all(torch.isfinite(value).all() for value in made.values())


def test_the_loss_falls(toy: PictureSet, tmp_path: Path) -> None:
    sets = [toy]
    recipe = replace(RECIPE, steps=40, warmup=3, fall=10, save_every=40, teacher=0.0, rate=4e-3)
    train_vision(sets, word_bank(sets), imagenet(), tmp_path, recipe, SIZES)
    losses = [loss for _, loss in curve(tmp_path)]
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])


def test_a_state_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.pt"
    save_whole(path, {"step": 1})

    def full(values: Any, beside: Path) -> None:
        beside.write_bytes(b"half of it")
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(OSError, match="no space"):
            save_whole(path, {"step": 2})
    assert torch.load(path, weights_only=True) == {"step": 1}
    save_whole(path, {"step": 3})
    assert torch.load(path, weights_only=True) == {"step": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


# Words


def test_label_names_are_read_as_phrases() -> None:
    assert spelled("diningtable") == "dining table"
    assert spelled("Traffic_Light") == "traffic light"
    assert spelled("tv") == "television"
    assert spelled("dog") == "dog"


def test_left_and_right_trade_places() -> None:
    names = ["left eye", "hair", "right eye", "left", "Left hand", "leftover", "right ear"]
    assert mirrored(names) == {0: 2, 2: 0}
    assert mirrored(["eye, left", "eye, right"]) == {0: 1, 1: 0}


def wordnet(folder: Path) -> Path:
    """Nine nouns in the format of WordNet's database, with its licence's lines above them."""
    licence = "  1 This software and database is being provided to you\n"
    data = """\
00001740 03 n 01 entity 0 001 ~ 00001930 n 0000 | that which is perceived to exist
00001930 03 n 01 physical_entity 0 002 @ 00001740 n 0000 ~ 00002000 n 0000 | has physical existence
00002000 05 n 02 dog 0 domestic_dog 0 001 @ 00001930 n 0000 | a member of the genus Canis
00003000 05 n 03 moo-cow 0 cow 0 Bos_taurus 0 001 @ 00001930 n 0000 | a female bovine
00004000 03 n 02 idea 0 cow 0 001 @ 00001740 n 0000 | a thought
00005000 05 n 01 Rex 0 001 @i 00002000 n 0000 | a certain dog
00006000 05 n 01 hot_red_fire_engine 0 001 @ 00001930 n 0000 | four words
00007000 05 n 01 b52 0 001 @ 00001930 n 0000 | with digits
00008000 05 n 02 puppy 0 dog 1 001 @ 00002000 n 0000 | a young dog
"""
    index = """\
b52 n 1 1 @ 1 0 00007000
bos_taurus n 1 1 @ 1 0 00003000
cow n 2 1 @ 2 1 00004000 00003000
dog n 2 2 @ ~ 2 2 00002000 00008000
domestic_dog n 1 1 @ 1 0 00002000
hot_red_fire_engine n 1 1 @ 1 0 00006000
idea n 1 1 @ 1 1 00004000
moo-cow n 1 1 @ 1 0 00003000
puppy n 1 1 @ 1 1 00008000
rex n 1 1 @i 1 0 00005000
"""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [line + "  \n" for line in index.splitlines()]
    (folder / "index.noun").write_text(licence + "".join(lines))
    (folder / "data.noun").write_text(licence + data)
    return folder


def test_wordnet_is_read_in_its_most_usual_sense_as_a_thing(tmp_path: Path) -> None:
    nouns = {noun.lemma: noun for noun in read_nouns(wordnet(tmp_path))}
    # No digits, no four words, no proper names.
    assert list(nouns) == ["cow", "dog", "domestic dog", "idea", "moo-cow", "puppy"]
    assert nouns["cow"].offset == "00003000"  # the first sense is an idea, the second a thing
    assert nouns["cow"].synonyms == ("moo-cow",)
    assert nouns["dog"].offset == "00002000"
    assert nouns["dog"].synonyms == ("domestic dog",)
    assert nouns["idea"].offset == "00004000"  # never a thing: its first sense
    assert (nouns["dog"].tagged, nouns["domestic dog"].tagged) == (2, 0)


def test_a_missing_wordnet_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wordnet-base"):
        read_nouns(tmp_path)


def teacher(texts: Sequence[str]) -> Tensor:
    """A stand-in for the sentence encoder: the mean of random vectors of a text's words."""
    rows = []
    for text in texts:
        parts = []
        for word in text.split():
            seed = int.from_bytes(word.encode()[:6].ljust(6), "big")
            parts.append(torch.randn(20, generator=torch.Generator().manual_seed(seed)))
        rows.append(torch.stack(parts or [torch.ones(20)]).mean(0))
    return F.normalize(torch.stack(rows), dim=-1)


def test_targets_lie_between_a_lemma_and_its_kin(tmp_path: Path) -> None:
    recipe = TextRecipe(phrases=40, wordnet=str(wordnet(tmp_path)))
    names = ["Cow", "diningtable", "sky"]
    corpus = build_corpus(names, recipe, teacher)
    assert corpus.texts[:3] == ["cow", "diningtable", "sky"]
    assert corpus.names == 3
    assert len(corpus.texts) == len(corpus.targets) == len(corpus.kinds) == 3 + 6 + 40
    torch.testing.assert_close(corpus.targets.norm(dim=-1), torch.ones(49))
    place = corpus.texts.index("moo-cow")
    both = F.normalize(teacher(["moo-cow"])[0] + teacher(["cow"])[0], dim=0)
    torch.testing.assert_close(corpus.targets[place], both)
    torch.testing.assert_close(corpus.targets[0], corpus.targets[corpus.texts.index("cow", 3)])
    torch.testing.assert_close(corpus.targets[1], teacher(["dining table"])[0])  # as it is spelled
    torch.testing.assert_close(corpus.targets[9:], teacher(corpus.texts[9:]))
    again = build_corpus(names, recipe, teacher)
    assert again.texts == corpus.texts


TEXT = TextConfig(
    vocab_size=120, token_dim=8, dim=16, layers=1, heads=2, mlp=24, max_tokens=8, out_dim=20
)


def test_words_of_names_and_things_are_tokens_of_their_own(tmp_path: Path) -> None:
    from lexiseg.training.tiny import text

    recipe = TextRecipe(phrases=40, wordnet=str(wordnet(tmp_path)))
    nouns = read_nouns(recipe.wordnet)
    whole = text._whole_words(["Traffic light"], nouns)
    assert {"traffic", "light", "cow", "dog", "puppy", "photo", "wooden"} <= set(whole)
    assert "moo" not in whole  # met once only, in a compound that nobody says
    corpus = build_corpus(["Traffic light"], recipe, teacher)
    tokenizer = text._tokeniser(corpus, whole, 60)
    assert tokenizer.encode("Traffic light").tokens == ["traffic", "light"]
    assert "[UNK]" not in tokenizer.encode("moo").tokens
    assert tokenizer.token_to_id("[UNK]") == 0
    # Before any training, a word of its own means what its target says, as far as dimensions go.
    tower = TextTower(replace(TEXT, vocab_size=tokenizer.get_vocab_size(), token_dim=20)).eval()
    text._start_from_teacher(tower, tokenizer, corpus, teacher)
    said = tower(*tokenise(tokenizer, ["puppy", "cow"]))
    aims = corpus.targets[[corpus.texts.index("puppy"), corpus.texts.index("cow")]]
    torch.testing.assert_close(said, aims, atol=1e-4, rtol=0)


def test_a_text_tower_that_is_killed_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lexiseg.training.tiny import text

    monkeypatch.setattr(text, "SentenceEncoder", lambda: teacher)
    recipe = TextRecipe(
        steps=6, batch=24, warmup=2, phrases=60, chunks=2, save_every=2,
        wordnet=str(wordnet(tmp_path / "wordnet")),
    )  # fmt: skip
    names = ["cow", "dog", "sky"]
    whole = train_text(names, tmp_path / "whole", recipe, TEXT).state_dict()
    saves: list[Path] = []

    def dies(path: Path, values: dict[str, Any]) -> None:
        save_whole(path, values)
        saves.append(path)
        if len(saves) == 3:  # the corpus, then the states of steps 2 and 4
            raise KeyboardInterrupt

    monkeypatch.setattr(text, "save_whole", dies)
    with pytest.raises(KeyboardInterrupt):
        train_text(names, tmp_path / "killed", recipe, TEXT)
    monkeypatch.setattr(text, "save_whole", save_whole)
    assert not (tmp_path / "killed" / "text.pt").exists()
    resumed = train_text(names, tmp_path / "killed", recipe, TEXT).state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    written = torch.load(tmp_path / "killed" / "text.pt", weights_only=True)
    assert all(torch.equal(written[name], whole[name]) for name in whole)
    for name in ("tokenizer.json", "text-log.json"):
        a, b = (tmp_path / run / name for run in ("whole", "killed"))
        assert a.read_text() == b.read_text()


def test_the_whole_recipe_from_folders_to_a_bundle(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lexiseg
    from lexiseg.training.tiny import TinyRecipe, recipe, text, train_tiny

    monkeypatch.setattr(text, "SentenceEncoder", lambda: teacher)
    monkeypatch.setattr(recipe, "read_mobilenet", lambda path: imagenet())
    given = TinyRecipe(
        text=TextRecipe(
            steps=4, batch=24, warmup=2, phrases=60, chunks=2, wordnet=str(wordnet(tmp_path / "w"))
        ),
        vision=replace(RECIPE, steps=3, teacher=0.0),
        text_sizes=TEXT,
        vision_sizes=replace(SIZES, text_dim=20),
        masker=MaskerRecipe(steps=2, sampling=ObjectSampling(batch=2, sizes_hw=((64, 96),))),
        masker_sizes=MaskNetConfig(
            decoded_dim=SIZES.fine_dim,
            shared_dim=12,
            groups=2,
            key_dim=4,
            dim=8,
            mlp=12,
            fine_dim=6,
        ),
    )
    said: list[str] = []
    stopped = train_tiny(root.parent, "net.tflite", tmp_path / "out", given, stop_after=2)
    assert stopped is None
    made = train_tiny(root.parent, "net.tflite", tmp_path / "out", given, log=said.append)
    assert made is not None
    assert any("going on from step 2" in line for line in said)
    assert any("toy: 6 photos" in line for line in said)
    seg = lexiseg.load("dense", encoder=str(made), short_side=64, device="cpu")
    assert seg.encoder.known_words == CLASSES[1:]
    assert "sky" in seg.encoder.tagged_words  # a background word
    out = seg(coordinates(), ["hair", "left eye"], background=None)
    assert out.semantic().shape == (HEIGHT, WIDTH)
    with pytest.raises(InputError, match="none of the data sets"):
        train_tiny(root.parent, "net.tflite", tmp_path / "other", given, only=["no such set"])


# The published backbone


SHARED = Path(__file__).parents[3] / "shared"
TFLITE = SHARED / "weights" / "mobilenet_v2_1.0_224_quant.tflite"


def test_a_missing_backbone_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tflite", reason="the reader needs tflite: lexiseg[train]")
    from lexiseg.training.tiny.tflite import read_mobilenet

    with pytest.raises(InputError, match="--backbone"):
        read_mobilenet(tmp_path / "net.tflite")


@pytest.mark.slow
@pytest.mark.skipif(
    not TFLITE.is_file() or not (SHARED / "data" / "imagenet1000").is_dir(),
    reason="needs the published backbone and the ImageNet photos that lie beside the project",
)
def test_the_published_backbone_knows_imagenet() -> None:
    pytest.importorskip("tflite", reason="the reader needs tflite: lexiseg[train]")
    from lexiseg import imaging
    from lexiseg.training.tiny.tflite import read_mobilenet

    folder = SHARED / "data" / "imagenet1000"
    wnids = json.loads((folder / "dataset.json").read_text())["wnids"]
    paths = sorted((folder / "train" / "images").iterdir())[::5]
    net, classifier = read_mobilenet(TFLITE)
    hits = 0
    for path in paths:
        rgb = imaging.read(path).rgb
        side = round(0.875 * min(rgb.shape[:2]))
        y, x = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
        crop = Image.fromarray(rgb[y : y + side, x : x + side]).resize((224, 224))
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            features = net(pixels)[3].mean((2, 3), keepdim=True)
            guess = int(classifier(features)[0, 1:, 0, 0].argmax())
        hits += guess == index_of(path, wnids)
    assert len(paths) == 200
    assert hits >= 160


def index_of(path: Path, wnids: Sequence[str]) -> int:
    return list(wnids).index(path.stem.split("_")[0])
