"""Losses of the picture side against slow loops: a photo, a point and a word at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.training_data import bare_set, shape_set, word_bank
from torch import Tensor

from lexiseg.device import generator
from lexiseg.training.tiny.crops import CropBatch, CropSampling, ImageSet, make_crops
from lexiseg.training.tiny.losses import distill_loss, sample_map, word_loss
from lexiseg.training.tiny.words import WordBank


def test_phrasings_vary_by_seed() -> None:
    bank = word_bank([bare_set()])
    count = len(bank.words)
    still = bank.augmented(0.0, 7)
    for k in range(count):
        assert any(torch.allclose(still[k], bank.meanings[v, k], atol=1e-6) for v in range(3))
    torch.testing.assert_close(bank.augmented(0.3, 7), bank.augmented(0.3, 7), rtol=0, atol=0)
    assert not torch.allclose(bank.augmented(0.3, 7), bank.augmented(0.3, 8))
    torch.testing.assert_close(bank.augmented(0.3, 7).norm(dim=-1), torch.ones(count))
    bare = [
        torch.allclose(row, bank.meanings[0, k], atol=1e-6)
        for seed in range(60)
        for k, row in enumerate(bank.augmented(0.0, seed))
    ]
    assert np.mean(bare) == pytest.approx(2 / 3, abs=0.08)  # half, and a third of the rest


def test_values_at_points_are_bilinear() -> None:
    rng = torch.Generator().manual_seed(1)
    grid, points = (
        torch.randn(2, 5, 7, 3, generator=rng),
        torch.rand(2, 40, 2, generator=rng) * 2 - 1,
    )
    points[0, 0], points[0, 1] = torch.tensor([-1.0, 1.0]), torch.tensor([0.999, -0.999])
    made = sample_map(grid, points)
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
    features: Tensor, batch: CropBatch, sets: list[ImageSet], bank: WordBank, vectors: Tensor,
    scale: float, num_balanced: int, dice_weight: float, negatives: list[list[str]],
    on_background: bool,
) -> tuple[float, float]:  # fmt: skip
    """A photo, a point and a word at a time, with names in place of rows."""
    losses, hits, count = [], 0, 0
    number = {word: bank.words.index(word) for word in bank.words}
    for b, s in enumerate(batch.sets):
        chosen = sets[s]
        if chosen.masks is None:
            continue
        queried = batch.queried[b]
        named = [
            c
            for i, c in enumerate(chosen.classes)
            if i != chosen.background_index and (queried is None or queried[i])
        ]
        competing = [*named, *negatives[b]]
        is_open = chosen.background_index is not None or queried is not None
        background = [
            w
            for w in (bank.words[i] for i in bank.background.tolist())
            if not any(bank.synonyms[number[w], number[n]] for n in competing)
        ]
        rows = []
        for p, label in enumerate(batch.labels[b].tolist()):
            if label < 0 or (chosen.classes[label] not in named and not is_open):
                continue
            name = chosen.classes[label]
            target = named.index(name) if name in named else len(competing)
            cosine = {w: float(features[b, p] @ vectors[number[w]]) for w in number}
            logits = [scale * cosine[n] for n in competing]
            if is_open:
                logits.append(float(np.log(sum(np.exp(scale * cosine[w]) for w in background))))
            if target == len(competing) and not on_background:
                for k in range(len(named), len(competing)):
                    logits[k] = -np.inf
            weight = np.exp(np.array(logits) - max(logits))
            rows.append((p, target, weight / weight.sum()))
            hits += int(np.argmax(logits) == target)
            count += 1
        if not rows:
            continue
        loss = float(np.mean([-np.log(share[target]) for _, target, share in rows]))
        spread = [(target, share) for p, target, share in rows if p >= num_balanced]
        if dice_weight and spread:
            dice = []
            for column in sorted({target for target, _ in spread}):
                both = sum(share[column] for target, share in spread if target == column)
                made = sum(share[column] for _, share in spread)
                there = sum(target == column for target, _ in spread)
                dice.append(1 - (2 * both + 1) / (made + there + 1))
            loss += dice_weight * float(np.mean(dice))
        losses.append(loss)
    return float(np.mean(losses)) if losses else 0.0, hits / max(count, 1)


@pytest.mark.parametrize("dice_weight", [0.0, 0.5])
@pytest.mark.parametrize("with_negatives", [None, True, False])
def test_word_loss_equals_a_slow_loop(dice_weight: float, with_negatives: bool | None) -> None:
    """with_negatives: None for none, else whether they compete where the background is."""
    sets = [shape_set(), shape_set(name="closed", background=False), bare_set()]
    bank = word_bank(sets)
    how = CropSampling(batch=5, sizes_hw=((32, 48),), points=60, subset_share=0.6)
    rng = generator(2)
    kinds = set()
    for step in range(6):
        batch = make_crops(sets, [2, 2, 1], how, 1, step)
        kinds |= {(s, a is None) for s, a in zip(batch.sets, batch.queried, strict=True)}
        features = F.normalize(torch.randn(5, 60, 12, generator=rng), dim=-1)
        vectors = bank.augmented(0.1, batch.seed)
        names = (
            [["fish"], [], ["ox", "fish"], ["ox"], []] if with_negatives is not None else [[]] * 5
        )
        rows = [np.array([bank.words.index(n) for n in own], np.int64) for own in names]
        made, accuracy = word_loss(
            features, batch, bank, vectors, torch.tensor(6.0), num_balanced=21,
            dice_weight=dice_weight, negatives=None if with_negatives is None else rows,
            negatives_on_background=with_negatives is not False,
        )  # fmt: skip
        wanted, hits = slow_word_loss(
            features, batch, sets, bank, vectors, 6.0, 21, dice_weight, names,
            with_negatives is not False,
        )  # fmt: skip
        assert float(made) == pytest.approx(wanted, rel=1e-4)
        assert accuracy == pytest.approx(hits)
    assert kinds == {(0, True), (0, False), (1, True), (1, False), (2, True)}


def test_word_loss_of_photos_without_masks_is_nothing() -> None:
    sets = [bare_set()]
    batch = make_crops(sets, [1.0], CropSampling(batch=4, sizes_hw=((32, 64),), points=200), 0, 0)
    features = torch.randn(4, 200, 12, requires_grad=True)
    bank = word_bank(sets)
    loss, accuracy = word_loss(
        features, batch, bank, bank.augmented(0, 0), torch.tensor(5.0), num_balanced=9,
        dice_weight=0.5,
    )  # fmt: skip
    loss.backward()  # type: ignore[no-untyped-call]
    assert (float(loss.detach()), accuracy) == (0.0, 0.0)
    assert features.grad is not None
    assert not features.grad.any()


def test_distill_loss_is_cross_entropy_weighted_by_sureness() -> None:
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
    made = float(distill_loss(student, teacher, vectors, torch.tensor(7.0)))
    assert made == pytest.approx(total / max(weights, 1), rel=1e-4)
    unsure = distill_loss(student, torch.zeros(2, 10, 3, 4), vectors, torch.tensor(7.0))
    assert float(unsure) == 0
