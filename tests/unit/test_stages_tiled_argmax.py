"""Tiles of labels and scores against the arg-max and softmax of all words' full maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.device_double import GPU, DeviceDouble
from torch import Tensor

from lexiseg.errors import PromptError
from lexiseg.stages.label_map import LabelMap
from lexiseg.stages.mask_upsampling import bilinear_matrix
from lexiseg.stages.pamr import Pamr
from lexiseg.stages.tiled_argmax import ArgmaxRules, CellLogits, argmax_labels
from lexiseg.stages.word_vectors import WordVectors

SIZE = (53, 87)


def cell_logits(queries: int = 11, grid_hw: tuple[int, int] = (7, 10), seed: int = 1,
                size_hw: tuple[int, int] = SIZE) -> CellLogits:  # fmt: skip
    """Cosines that differ a little from cell to cell and from word to word, as CLIP's do."""
    generator = torch.Generator().manual_seed(seed)
    logits = 0.2 + 0.1 * torch.randn(queries, *grid_hw, generator=generator)
    axes = [bilinear_matrix(n, size).float() for n, size in zip(grid_hw, size_hw, strict=True)]
    return CellLogits(logits, axes[0], axes[1])


def words(queries: int = 11, classes: int = 7, background: int | None = 0) -> WordVectors:
    return WordVectors(
        torch.zeros(queries, 4), torch.arange(queries) % classes, classes, background
    )


def full(scales: list[CellLogits]) -> Tensor:
    """All words' logits at the image's size, (Q, H, W) float64."""
    maps = [one.vertical.double() @ one.logits.double() @ one.horizontal.double().T
            for one in scales]  # fmt: skip
    return torch.stack(maps).mean(0)


def obvious(
    maps: Tensor, asked: WordVectors, rules: ArgmaxRules
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """SCLIP's postprocess_result, class by class: labels, scores, and margins of both."""
    queries = (rules.scale * maps.double()).softmax(0)
    zero = torch.zeros(1, *maps.shape[1:], dtype=torch.float64)
    probabilities = torch.stack([
        torch.cat([queries[asked.class_ids == k], zero]).amax(0) for k in range(asked.num_classes)
    ])  # fmt: skip
    if rules.area_threshold and asked.background is not None:
        winner = probabilities.argmax(0)
        counts = torch.tensor([int((winner == k).sum()) for k in range(asked.num_classes)])
        counts[asked.background] = 0
        for k in range(asked.num_classes):
            if k != asked.background and counts[k] <= rules.area_threshold * counts.sum():
                probabilities[k] = 0
    best, second = probabilities.topk(2, 0).values
    score, label = probabilities.max(0)
    margin = best - second
    if rules.thresholds is not None:
        limits = torch.from_numpy(rules.thresholds).double()[label]
        margin = torch.minimum(margin, (score - limits).abs())
        label[score < limits] = -1
    return label.numpy(), score.numpy(), margin.numpy()


def check(got: LabelMap, maps: Tensor, asked: WordVectors, rules: ArgmaxRules) -> None:
    label, score, margin = obvious(maps, asked, rules)
    sure = margin > 1e-5
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(got.labels[sure], label[sure])
    np.testing.assert_allclose(got.scores[sure], score[sure], rtol=1e-3, atol=1e-6)  # float16


@pytest.mark.parametrize(
    "rules",
    [
        ArgmaxRules(10.0),
        ArgmaxRules(100.0),
        ArgmaxRules(40.0, thresholds=np.full(7, 0.3, np.float32)),
        ArgmaxRules(10.0, area_threshold=0.15),
        ArgmaxRules(20.0, np.linspace(0, 0.6, 7, dtype=np.float32), area_threshold=0.15),
    ],
    ids=["soft", "hard", "threshold", "area", "both"],
)
@pytest.mark.parametrize("refined", [False, True])
def test_labels_are_those_of_the_obvious_way(
    rules: ArgmaxRules, refined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small parts, so that tiles, and chunks of words, are joined.
    monkeypatch.setattr("lexiseg.stages.tiled_argmax._ON_CPU", 11 * 13 * 13)
    monkeypatch.setattr("lexiseg.stages.tiled_argmax._PAMR_LOGITS", 4 * SIZE[0] * SIZE[1])
    scales, asked = [cell_logits()], words()
    maps = full(scales)
    if refined:
        pixels = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(3))
        rules = replace(rules, pamr=Pamr(pixels, steps=2))
        maps = rules.pamr(maps.float()) if rules.pamr else maps
    got = argmax_labels(scales, asked, rules)
    check(got, maps, asked, rules)
    assert len(np.unique(got.labels)) >= 3
    if rules.area_threshold:
        plain = argmax_labels(scales, asked, replace(rules, area_threshold=0.0))
        assert (plain.labels != got.labels).any()


@pytest.mark.parametrize("size_hw", [(3, 5), (7, 10), (1, 300), (260, 1), (131, 203)])
def test_any_size_and_several_scales(size_hw: tuple[int, int]) -> None:
    scales = [
        cell_logits(9, grid_hw, seed, size_hw)
        for seed, grid_hw in enumerate([(7, 10), (4, 5), (1, 1)])
    ]
    asked = words(9, 9, None)
    check(argmax_labels(scales, asked, ArgmaxRules(40.0)), full(scales), asked, ArgmaxRules(40.0))


def test_a_word_that_is_second_in_every_cell_wins_between() -> None:
    """Two words win every other cell; the third, never first in a cell, wins between."""
    cells = torch.tensor([[0.9, 0.1, 0.9], [0.1, 0.9, 0.1], [0.65, 0.65, 0.65]])[:, None]
    one = CellLogits(cells, torch.ones(4, 1), bilinear_matrix(3, 12).float())
    got = argmax_labels([one], words(3, 3, None), ArgmaxRules(40.0))
    assert got.labels[0].tolist() == [0, 0, 0, 2, 2, 1, 1, 2, 2, 0, 0, 0]


def test_identical_words_share_their_probability() -> None:
    one = cell_logits(8)
    twice = replace(one, logits=one.logits.repeat(2, 1, 1))
    alone = argmax_labels([one], words(8, 8), ArgmaxRules(40.0))
    both = argmax_labels([twice], words(16, 16), ArgmaxRules(40.0))
    np.testing.assert_allclose(both.scores, alone.scores / 2, rtol=1e-3)


def test_one_word_is_certain_and_none_is_refused() -> None:
    got = argmax_labels([cell_logits(1)], words(1, 1), ArgmaxRules(40.0))
    assert (got.labels == 0).all()
    assert (got.scores == 1).all()
    with pytest.raises(PromptError, match="no word"):
        argmax_labels([cell_logits(0)], words(0, 1), ArgmaxRules(40.0))


def test_many_classes_need_wider_numbers() -> None:
    asked = WordVectors(torch.zeros(2, 4), torch.tensor([7, 40_000]), 40_001, None)
    got = argmax_labels([cell_logits(2)], asked, ArgmaxRules(10.0))
    assert got.labels.dtype == np.int32
    assert set(np.unique(got.labels)) == {7, 40_000}


def test_pamr_in_bands_is_pamr(monkeypatch: pytest.MonkeyPatch) -> None:
    scales, asked = [cell_logits()], words()
    pixels = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(3))
    pamr = Pamr(pixels, 2, (1, 3))
    rules = ArgmaxRules(20.0, np.full(7, 0.2, np.float32), pamr=pamr)
    whole = argmax_labels(scales, asked, rules)
    assert pamr.reach == 6
    monkeypatch.setattr("lexiseg.stages.tiled_argmax._PAMR_PIXELS", 87 * 27)  # 15 new rows a band
    cut: list[slice] = []
    rows = Pamr.rows
    monkeypatch.setattr(Pamr, "rows", lambda self, part: (cut.append(part), rows(self, part))[1])
    bands = argmax_labels(scales, asked, rules)
    assert cut == [slice(0, 21), slice(9, 36), slice(24, 51), slice(39, 53)]
    np.testing.assert_array_equal(bands.labels, whole.labels)
    np.testing.assert_allclose(bands.scores, whole.scores, atol=1e-3)


@pytest.mark.parametrize("refined", [False, True])
def test_on_a_gpu_nothing_waits_but_the_result(refined: bool) -> None:
    asked, one = words(), cell_logits()
    pixels = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(3))
    limits = np.full(7, 0.2, np.float32)
    rules = ArgmaxRules(20.0, limits, 0.15, Pamr(pixels, 2, (1, 3)) if refined else None)
    want = argmax_labels([one], asked, rules)
    with DeviceDouble() as double:
        on_gpu = replace(one, logits=one.logits.to(GPU))
        vectors = replace(asked, vectors=asked.vectors.to(GPU), class_ids=asked.class_ids.to(GPU))
        if rules.pamr:
            rules = replace(rules, pamr=replace(rules.pamr, pixels=pixels.to(GPU)))
        with double.counting() as waits:
            got = argmax_labels([on_gpu], vectors, rules)
    np.testing.assert_array_equal(got.labels, want.labels)
    assert len(waits) == 4  # labels and scores, twice because of the areas


def test_what_is_held_does_not_grow_with_words_times_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    largest = 0
    exp2 = Tensor.exp2_

    def watched(self: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, self.numel())
        return exp2(self)

    monkeypatch.setattr(Tensor, "exp2_", watched)
    monkeypatch.setattr("lexiseg.stages.tiled_argmax._ON_CPU", 5000)
    for queries in (3, 40, 300):
        one = cell_logits(queries, (3, 4), size_hw=(60, 90))
        argmax_labels([one], words(queries, queries, None), ArgmaxRules(40.0))
    assert 4000 < largest <= 5000
