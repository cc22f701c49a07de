"""A map fused together with masks: against loops over places, and hand-worked cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.close import assert_close

from lexiseg.protocols import Frame, RawMasks
from lexiseg.results import ScoreMap
from lexiseg.stages.map_fusion import (
    Candidates,
    add_votes,
    fused_probabilities,
    label_fused,
    mask_grid_filter,
    rejected_regions,
    start_votes,
)
from lexiseg.stages.mask_prompting import ScoredMasks, find_regions
from lexiseg.stages.mask_selection import GridScores

H, W = 5, 7
FRAME = Frame((H, W), (H, W), (H, W))


@pytest.fixture
def grid() -> GridScores:
    rng = np.random.default_rng(0)
    probabilities = torch.from_numpy(
        rng.dirichlet([0.4] * 5, (H, W)).transpose(2, 0, 1)[:4]
    ).float()
    inside = torch.ones(H, W, dtype=torch.bool)
    inside[:, -1] = False
    probabilities = probabilities * inside
    return GridScores(probabilities, probabilities.argmax(0), torch.full((H, W), -1), inside, FRAME)


def masks(count: int, seed: int = 1) -> RawMasks:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 3, (count, H, W))).float()
    quality = torch.from_numpy(rng.uniform(0.2, 0.95, count)).float()
    return RawMasks(logits, quality, torch.zeros(count, dtype=torch.int64), FRAME)


def scored(raw: RawMasks, class_ids: list[int], clicked: list[bool]) -> ScoredMasks:
    count = len(class_ids)
    return ScoredMasks(
        raw, np.array(class_ids), np.full(count, -1), np.ones(count, np.float32),
        raw.quality.numpy(), np.array(clicked),
    )  # fmt: skip


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("opened", [True, False])
def test_votes_are_those_of_loops_and_come_in_parts(grid: GridScores, opened: bool) -> None:
    raw = masks(5)
    candidates = Candidates.of(grid, {3, 0, 2}, opened=opened, background=None)
    assert candidates.class_ids.tolist() == [0, 2, 3, -1][: 3 + opened]
    votes = start_votes(candidates)
    assert not votes.means.any()
    for part in (raw[:2], raw[2:2], raw[2:]):
        before = votes
        votes = add_votes(before, part, candidates, grid.inside)
    rows = 3 + opened
    own = np.zeros((rows, H, W))
    own[:3] = grid.probabilities[[0, 2, 3]]
    if opened:
        own[3] = (1 - grid.probabilities.sum(0)).clamp(0) * grid.inside
    assert_close(candidates.probabilities, own, 1e-6)
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
            np.testing.assert_allclose(votes.means[:, y, x], expected, atol=1e-5)
            assert float(votes.cover[y, x]) == pytest.approx(share[:, y, x].max(), abs=1e-6)
    assert (votes.means[..., -1] == 0).all()
    whole = add_votes(start_votes(candidates), raw, candidates, grid.inside)
    torch.testing.assert_close(votes.sums, whole.sums)
    torch.testing.assert_close(votes.weights, whole.weights)


def test_masks_speak_inside_and_against_what_they_left(grid: GridScores) -> None:
    raw = masks(4, 3)
    candidates = Candidates.of(grid, [0, 1, 3], opened=True, background=3)
    votes = add_votes(start_votes(candidates), raw, candidates, grid.inside)
    kept = scored(raw[1:], [1, 0, 1], [False, False, True])
    lost = torch.full((H, W), -1)
    lost[:2], lost[2] = 1, 3  # no mask was kept for word 3: a user said that it is not this
    got = fused_probabilities(candidates, votes, kept, lost, pooling=0.4, trust=1.5)
    np.testing.assert_allclose(got.sum(0), 1, atol=1e-5)
    floor = [1e-3, 1e-3, 1e-2, 1e-2]  # the background and no word are never that unlikely
    for y in range(H):
        for x in range(W):
            alike = 0.4 * float(votes.cover[y, x])
            value = np.zeros(4)
            for k in range(4):
                own = math.log(max(float(candidates.probabilities[k, y, x]), floor[k]))
                pooled = math.log(max(float(votes.means[k, y, x]), floor[k]))
                value[k] = (1 - alike) * own + alike * pooled
            for row, word in enumerate((0, 1)):
                evidence = []
                for n in range(3):
                    if kept.class_ids[n] == word:
                        nats = 1.5 * math.log2(1 - min(float(raw.quality[n + 1]), 0.98)) ** 2
                        nats = 20.0 if n == 2 else nats
                        evidence.append(nats * math.tanh(float(raw.logits[n + 1, y, x]) / 2))
                if max(evidence) > 0 or lost[y, x] == word:
                    value[row] += max(evidence)
            value[2] -= 20.0 * (lost[y, x] == 3)
            expected = np.exp(value - value.max())
            np.testing.assert_allclose(got[:, y, x], expected / expected.sum(), atol=1e-4)


def test_without_trust_and_pooling_the_map_stays(grid: GridScores) -> None:
    candidates = Candidates.of(grid, range(4), opened=True, background=None)
    votes = add_votes(start_votes(candidates), masks(3), candidates, grid.inside)
    nowhere = torch.full((H, W), -1)
    for kept in (scored(masks(1), [0], [False]), None):
        got = fused_probabilities(candidates, votes, kept, nowhere, pooling=0.0, trust=0.0)
        same = got.argmax(0) == candidates.probabilities.argmax(0)
        assert same[:, :-1].all()  # the last column is padding


def test_what_masks_left_over_is_of_covered_or_dropped_regions_and_their_fringe() -> None:
    labels = np.full((6, 10), -1, np.int16)
    labels[1:3, 1:3], labels[1:3, 4:6], labels[4, 8] = 0, 1, 0
    regions = find_regions(labels, np.ones((6, 10), np.float32), 2, threshold=0, min_area=1)
    assert regions.word.tolist() == [0, 0, 1]
    where = torch.from_numpy(regions.number.astype(np.int64))
    inside = torch.ones(6, 10).bool()
    frame = Frame((6, 10), (6, 10), (6, 10))
    grid = GridScores(torch.zeros(2, 6, 10), torch.zeros(6, 10), where, inside, frame)
    covered = np.array([True, False, False])
    got = rejected_regions(grid, regions, covered, np.array([2])).numpy()
    expected = np.full((6, 10), -1)
    expected[0:4, 0:4] = 0  # with a fringe of one place, where no other region is
    expected[0:4, 3:7] = 1  # of two fringes the later word's
    expected[1:3, 1:3] = 0
    np.testing.assert_array_equal(got, expected)
    alone = rejected_regions(grid, regions, covered).numpy()
    expected[0:4, 3:7] = -1
    expected[0:4, 3] = 0
    np.testing.assert_array_equal(alone, expected)


def picture(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(4).integers(0, 256, (*size_hw, 3)).astype(np.uint8)


def test_labels_are_the_largest_of_enlarged_maps_without_the_padding() -> None:
    rng = np.random.default_rng(2)
    frame = Frame((41, 58), (41, 58), (48, 64))  # 12 x 16 cells of 4, of which 11 x 15 are used
    maps = torch.from_numpy(rng.random((3, 12, 16)).astype(np.float32))
    maps[0, 11:] = maps[0, :, 15:] = 9  # what lies in the padding must not show
    class_ids = np.array([5, 2, -1])
    candidates = Candidates(class_ids, maps, torch.zeros(3, 1, 1))
    guide = mask_grid_filter(picture((41, 58)), frame, (12, 16), 0, 1e-4)
    got = label_fused(maps, candidates, guide)
    assert got.shape == (41, 58)
    full = np.stack(
        [ScoreMap(maps[:, :11, :15].numpy().astype(np.float16), (44, 60)).full(k)
         for k in range(3)]
    )[:, :41, :58]  # fmt: skip
    best = np.sort(full, 0)
    clear = best[-1] - best[-2] > 5e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(got[clear], class_ids[full.argmax(0)][clear])


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
