"""Losses of the picture side against slow loops: a photo, a point and a word at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.training_data import bare_set, shape_set, word_bank
from torch import Tensor

from lexiseg.device import generator
from lexiseg.training.tiny.losses import distill_loss, sample_map, stuff_loss, word_loss
from lexiseg.training.tiny.photos import ImageSet
from lexiseg.training.tiny.queries import Queries
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
    features: Tensor, labels: Tensor, sets: list[ImageSet], numbers: list[int],
    queried: list[set[str] | None], negatives: list[set[str]], tolerant: bool, bank: WordBank,
    vectors: Tensor, scale: float, dice_weight: float, dice_from: int,
) -> tuple[float, float]:  # fmt: skip
    """A photo, a point and a word at a time, with names in place of rows."""
    losses, hits, count = [], 0, 0
    number = {word: bank.words.index(word) for word in bank.words}
    for b, s in enumerate(numbers):
        chosen, some = sets[s], queried[b]
        rest = None if chosen.background_index is None else chosen.classes[chosen.background_index]
        named = [c for c in chosen.classes if c != rest and (some is None or c in some)]
        competing = [*named, *sorted(negatives[b])]
        is_open = bool(chosen.classes) and (rest is not None or some is not None)
        background = [
            w
            for w in (bank.words[i] for i in bank.background.tolist())
            if not any(bank.synonyms[number[w], number[n]] for n in competing)
        ]
        rows = []
        for p, label in enumerate(labels[b].tolist()):
            if label == 255 or (chosen.classes[label] not in named and not is_open):
                continue
            target = chosen.classes[label] if chosen.classes[label] in named else ""
            logits = {n: scale * float(features[b, p] @ vectors[number[n]]) for n in competing}
            if tolerant and not target:
                logits = {n: value for n, value in logits.items() if n in named}
            if is_open:
                cosines = [float(features[b, p] @ vectors[number[w]]) for w in background]
                logits[""] = float(np.log(sum(np.exp(scale * c) for c in cosines)))
            total = sum(np.exp(value) for value in logits.values())
            shares = {n: float(np.exp(value) / total) for n, value in logits.items()}
            rows.append((p, target, shares))
            hits += max(logits, key=logits.__getitem__) == target
            count += 1
        if not rows:
            continue
        loss = float(np.mean([-np.log(shares[target]) for _, target, shares in rows]))
        spread = [(target, shares) for p, target, shares in rows if p >= dice_from]
        if dice_weight and spread:
            dice = []
            for column in {target for target, _ in spread}:
                both = sum(shares[column] for target, shares in spread if target == column)
                made = sum(shares.get(column, 0.0) for _, shares in spread)
                there = sum(target == column for target, _ in spread)
                dice.append(1 - (2 * both + 1) / (made + there + 1))
            loss += dice_weight * float(np.mean(dice))
        losses.append(loss)
    return float(np.mean(losses)) if losses else 0.0, hits / max(count, 1)


NUMBERS = [0, 0, 1, 1, 2, 0]  # of the data sets: with background, closed, without labels
QUERIED: list[set[str] | None] = [None, {"ball", "box"}, None, {"right fin"}, None, {"left fin"}]
NEGATIVES: list[set[str]] = [{"fish"}, set(), {"ox", "fish"}, {"ox"}, set(), {"fish"}]


def queries_of(
    sets: list[ImageSet], labels: Tensor, bank: WordBank, negatives: list[set[str]]
) -> Queries:
    """What competes, from names."""
    count = len(bank.words)
    words = torch.zeros(len(NUMBERS), count, dtype=torch.bool)
    extra = torch.zeros_like(words)
    background = torch.zeros(len(NUMBERS), dtype=torch.bool)
    targets = torch.full_like(labels, -1)
    for b, s in enumerate(NUMBERS):
        one, some = sets[s], QUERIED[b]
        rest = None if one.background_index is None else one.classes[one.background_index]
        named = [c for c in one.classes if c != rest and (some is None or c in some)]
        background[b] = bool(one.classes) and (rest is not None or some is not None)
        words[b, [bank.words.index(c) for c in [*named, *negatives[b]]]] = True
        extra[b, [bank.words.index(c) for c in negatives[b]]] = True
        for p, label in enumerate(labels[b].tolist()):
            if label != 255 and one.classes[label] in named:
                targets[b, p] = bank.words.index(one.classes[label])
            elif label != 255 and background[b]:
                targets[b, p] = count
    return Queries(words, background, targets, extra)


@pytest.mark.parametrize("dice_weight", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["without negatives", "negatives", "tolerated negatives"])
def test_word_loss_equals_a_slow_loop(dice_weight: float, kind: str) -> None:
    sets = [shape_set(), shape_set(name="closed", background=False), bare_set()]
    bank = word_bank(sets)
    rng = generator(2)
    features = F.normalize(torch.randn(6, 60, 12, generator=rng), dim=-1)
    labels = torch.randint(5, (6, 60), generator=rng)
    labels[torch.rand(6, 60, generator=rng) < 0.2] = 255
    labels[4] = 255
    vectors = bank.augmented(0.1, 3)
    negatives = [set[str]() for _ in NUMBERS] if kind.startswith("without") else NEGATIVES
    queries = queries_of(sets, labels, bank, negatives)
    if not kind.startswith("tolerated"):
        queries = replace(queries, tolerated=None)
    made, accuracy = word_loss(
        features, queries, bank, vectors, torch.tensor(6.0), dice_weight=dice_weight, dice_from=21
    )
    wanted, hits = slow_word_loss(
        features, labels, sets, NUMBERS, QUERIED, negatives, kind.startswith("tolerated"), bank,
        vectors, 6.0, dice_weight, 21,
    )  # fmt: skip
    assert float(made) == pytest.approx(wanted, rel=1e-4)
    assert float(accuracy) == pytest.approx(hits)


def test_word_loss_of_photos_without_labels_is_nothing() -> None:
    bank = word_bank([bare_set()])
    features = torch.randn(4, 200, 12, requires_grad=True)
    count = len(bank.words)
    nothing = Queries(torch.zeros(4, count).bool(), torch.zeros(4).bool(), torch.full((4, 200), -1))
    loss, accuracy = word_loss(
        features, nothing, bank, bank.augmented(0, 0), torch.tensor(5.0), dice_weight=0.5
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert (float(loss.detach()), float(accuracy)) == (0.0, 0.0)
    assert features.grad is not None
    assert not features.grad.any()


def test_stuff_loss_is_cross_entropy_over_the_rivals() -> None:
    rng = generator(5)
    features = F.normalize(torch.randn(2, 7, 6, generator=rng), dim=-1)
    vectors = F.normalize(torch.randn(9, 6, generator=rng), dim=-1)
    wanted = torch.rand(2, 7, 3, generator=rng)
    wanted /= wanted.sum(-1, keepdim=True)
    weights = torch.tensor([[0.0, 0.9, 0.7, 0, 0, 0.61, 1.0], [0.0] * 7])
    stuff = torch.tensor([1, 4, 5])
    rivals = torch.tensor([[1, 1, 0, 0, 1, 1, 1], [0, 1, 0, 0, 1, 1, 0]]).bool()
    total = 0.0
    for b in range(2):
        for p in range(7):
            logits = {r: 5 * float(features[b, p] @ vectors[r]) for r in range(7) if rivals[b, r]}
            norm = np.log(sum(np.exp(v) for v in logits.values()))
            told = sum(
                float(wanted[b, p, k]) * (norm - logits[int(r)]) for k, r in enumerate(stuff)
            )
            total += float(weights[b, p]) * told
    made = stuff_loss(features, wanted, weights, rivals, stuff, vectors, torch.tensor(5.0))
    assert float(made) == pytest.approx(total / float(weights.sum()), rel=1e-4)
    silent = stuff_loss(features, wanted, 0 * weights, rivals, stuff, vectors, torch.tensor(5.0))
    assert float(silent) == 0


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
