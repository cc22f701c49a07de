"""A map fused together with masks: against loops over places, and hand-worked cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lexiseg.protocols import Frame, RawMasks
from lexiseg.results import ScoreMap
from lexiseg.stages.map_fusion import (
    FusionWeights,
    MaskVotes,
    fused_probabilities,
    mask_grid_filter,
    rejected_regions,
    write_winners,
)
from lexiseg.stages.mask_agreement import GridScores
from lexiseg.stages.prompt_decoding import ScoredMasks
from lexiseg.stages.regions import find_regions

H, W = 5, 7
FRAME = Frame((H, W), (H, W), (H, W))


@pytest.fixture
def seen() -> GridScores:
    rng = np.random.default_rng(0)
    probabilities = torch.from_numpy(
        rng.dirichlet([0.4] * 5, (H, W)).transpose(2, 0, 1)[:4]
    ).float()
    inside = torch.ones(H, W, dtype=torch.bool)
    inside[:, -1] = False
    probabilities = probabilities * inside
    return GridScores(probabilities, probabilities.argmax(0), torch.full((H, W), -1), inside)


def masks(count: int, seed: int = 1) -> RawMasks:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 3, (count, H, W))).float()
    quality = torch.from_numpy(rng.uniform(0.2, 0.95, count)).float()
    return RawMasks(logits, quality, torch.zeros(count, dtype=torch.int64), FRAME)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("rest", [True, False])
def test_votes_are_those_of_loops_and_come_in_parts(seen: GridScores, rest: bool) -> None:
    words, raw = np.array([0, 2, 3]), masks(5)
    votes = MaskVotes(seen, words, rest=rest, background=None)
    votes.add(raw[:2])
    votes.add(raw[2:2])
    votes.add(raw[2:])
    rows = 3 + rest
    own = np.zeros((rows, H, W))
    own[:3] = seen.probabilities[[0, 2, 3]]
    if rest:
        own[3] = (1 - seen.probabilities.sum(0)).clamp(0) * seen.inside
    np.testing.assert_allclose(votes.probabilities, own, atol=1e-6)
    share = np.zeros((5, H, W))
    means, weight = np.zeros((5, rows)), np.zeros(5)
    for m in range(5):
        for y in range(H):
            for x in range(W - 1):  # the last column is padding
                share[m, y, x] = sigmoid(float(raw.logits[m, y, x]))
                means[m] += share[m, y, x] * own[:, y, x]
        means[m] /= share[m].sum()
        weight[m] = means[m].max() ** 2 * float(raw.quality[m])
    for y in range(H):
        for x in range(W - 1):
            total = sum(weight[m] * share[m, y, x] for m in range(5))
            expected = sum(weight[m] * share[m, y, x] * means[m] for m in range(5)) / total
            np.testing.assert_allclose(votes.pooled[:, y, x], expected, atol=1e-5)
            assert float(votes.cover[y, x]) == pytest.approx(share[:, y, x].max(), abs=1e-6)
    assert (votes.pooled[..., -1] == 0).all()


def test_masks_speak_inside_and_against_what_they_left(seen: GridScores) -> None:
    words, raw = np.array([0, 1, 3]), masks(4, 3)
    votes = MaskVotes(seen, words, rest=True, background=3)
    votes.add(raw)
    answers = ScoredMasks(
        raw[1:], np.array([1, 0, 1]), np.array([-1, -1, -1]), np.array([False, False, True]),
        np.ones(3, np.float32),
    )  # fmt: skip
    lost = torch.full((H, W), -1)
    lost[:2], lost[2] = 1, 3  # no mask was kept for word 3: a user said that it is not this
    got, touched = fused_probabilities(votes, answers, lost, FusionWeights(0.4, 1.5))
    np.testing.assert_allclose(got.sum(0), 1, atol=1e-5)
    floor = [1e-3, 1e-3, 1e-2, 1e-2]  # the background and nothing are never that unlikely
    for y in range(H):
        for x in range(W):
            alike = 0.4 * float(votes.cover[y, x])
            value = np.zeros(4)
            for k in range(4):
                own = math.log(max(float(votes.probabilities[k, y, x]), floor[k]))
                pooled = math.log(max(float(votes.pooled[k, y, x]), floor[k]))
                value[k] = (1 - alike) * own + alike * pooled
            for row, word in enumerate((0, 1)):
                said = []
                for n in range(3):
                    if answers.word[n] == word:
                        nats = 1.5 * math.log2(1 - min(float(raw.quality[n + 1]), 0.98)) ** 2
                        nats = 20.0 if n == 2 else nats
                        said.append(nats * math.tanh(float(raw.logits[n + 1, y, x]) / 2))
                if max(said) > 0 or lost[y, x] == word:
                    value[row] += max(said)
            value[2] -= 20.0 * (lost[y, x] == 3)
            expected = np.exp(value - value.max())
            np.testing.assert_allclose(got[:, y, x], expected / expected.sum(), atol=1e-4)
    np.testing.assert_array_equal(touched, (votes.cover > 0.05) | (lost >= 0))


def test_without_trust_and_pooling_the_map_stays(seen: GridScores) -> None:
    votes = MaskVotes(seen, np.arange(4), rest=True, background=None)
    votes.add(masks(3))
    answers = ScoredMasks(
        masks(1), np.array([0]), np.array([-1]), np.array([False]), np.ones(1, np.float32)
    )
    got, _ = fused_probabilities(votes, answers, torch.full((H, W), -1), FusionWeights(0.0, 0.0))
    same = got.argmax(0) == votes.probabilities.argmax(0)
    assert same[:, :-1].all()  # the last column is padding


def test_what_masks_left_over_is_of_covered_or_dropped_regions_and_their_fringe() -> None:
    labels = np.full((6, 10), -1, np.int16)
    labels[1:3, 1:3], labels[1:3, 4:6], labels[4, 8] = 0, 1, 0
    regions = find_regions(labels, np.ones((6, 10), np.float32), 2, threshold=0, least=1)
    assert regions.word.tolist() == [0, 0, 1]
    where = torch.from_numpy(regions.number.astype(np.int64))
    see = GridScores(torch.zeros(2, 6, 10), torch.zeros(6, 10), where, torch.ones(6, 10).bool())
    got = rejected_regions(see, regions, np.array([True, False, False]), [2]).numpy()
    expected = np.full((6, 10), -1)
    expected[0:4, 0:4] = 0  # with a fringe of one place, where no other region is
    expected[0:4, 3:7] = 1  # of two fringes the later word's
    expected[1:3, 1:3] = 0
    np.testing.assert_array_equal(got, expected)


def picture(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(4).integers(0, 256, (*size_hw, 3)).astype(np.uint8)


def test_only_touched_places_are_written() -> None:
    rng = np.random.default_rng(2)
    grid = rng.random((3, 10, 14)).astype(np.float32)
    frame = Frame((41, 58), (41, 58), (48, 64))  # 12 x 16 cells of 4, of which 11 x 15 are used
    probabilities = torch.zeros(3, 12, 16)
    probabilities[:, :10, :14] = torch.from_numpy(grid)
    probabilities[:, 10:, :14], probabilities[:, :, 14:] = (
        probabilities[:, 9:10, :14],
        probabilities[:, :, 13:14],
    )
    guide = mask_grid_filter(picture((41, 58)), frame, (12, 16), 0, 1e-4)
    labels = np.full((41, 58), 9, np.int16)
    write_winners(
        labels, probabilities, torch.ones(12, 16, dtype=torch.bool), np.array([5, 2, -1]), guide
    )
    full = np.stack(
        [ScoreMap(probabilities[:, :11, :15].numpy().astype(np.float16), (44, 60)).full(k)
         for k in range(3)]
    )[:, :41, :58]  # fmt: skip
    best = np.sort(full, 0)
    clear = best[-1] - best[-2] > 5e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(labels[clear], np.array([5, 2, -1])[full.argmax(0)][clear])
    before = np.full((41, 58), 9, np.int16)
    touched = torch.zeros(12, 16, dtype=torch.bool)
    touched[3, 5] = True
    write_winners(before, probabilities, touched, np.array([5, 2, -1]), guide)
    written = np.zeros((41, 58), np.bool_)
    written[8:20, 16:28] = True  # its cell and the eight around it
    np.testing.assert_array_equal(before[written], labels[written])
    assert (before[~written] == 9).all()


def test_guides_fit_every_mask_models_grid() -> None:
    rgb = picture((48, 64))
    sam = mask_grid_filter(rgb, Frame((480, 640), (768, 1024), (1024, 1024)), (256, 256), 2, 1e-4)
    assert (sam.work_hw, sam.cell, sam.radius) == ((768, 1024), 4, 2)
    stretched = mask_grid_filter(
        rgb, Frame((480, 640), (1008, 1008), (1008, 1008)), (288, 288), 2, 1e-4
    )
    assert (stretched.work_hw, stretched.cell) == ((288, 288), 1)
    fine = mask_grid_filter(rgb, Frame((48, 64), (48, 64), (48, 64)), (48, 64), 2, 1e-4)
    assert (fine.work_hw, fine.cell, fine.radius) == ((48, 64), 1, 0)  # as fine as the picture
