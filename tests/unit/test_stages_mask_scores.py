"""How well masks match words; many masks over one pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lexiseg.masks import Masks
from lexiseg.stages.mask_scores import (
    border_weights,
    class_probabilities,
    coverage,
    covering_masks,
    crop_vectors,
    crops,
    mean_votes,
    overlap_regions,
    relative_scores,
    surroundings,
    top_masks,
    weighted_cosines,
)
from lexiseg.stages.word_vectors import WordVectors


def blobs(seed: int, size_hw: tuple[int, int] = (24, 40)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.random((5, size_hw[0] // 4, size_hw[1] // 4)) < 0.3
    masks = np.kron(coarse, np.ones((4, 4), bool)) > 0
    masks[1] = False
    masks[2] = True
    return masks


def test_a_crop_holds_the_mask_alone_in_its_aspect() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (30, 50, 3)).astype(np.uint8)
    mask = np.zeros((2, 30, 50), bool)
    mask[0, 4:12, 10:26] = True  # 16 wide, 8 high: at 32 pixels scaled by 2
    mask[0, 4, 10] = False
    first, empty = crops(rgb, Masks.from_dense(mask), 16, fill=(1, 2, 3))
    expected = np.full((16, 16, 3), (1, 2, 3), np.uint8)
    expected[4:12] = rgb[4:12, 10:26]
    expected[4, 0] = (1, 2, 3)
    np.testing.assert_array_equal(first, expected)
    assert (empty == (1, 2, 3)).all()


def test_batches_of_crops_give_what_single_crops_give(colours: Any) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (40, 24, 3)).astype(np.uint8)
    masks = Masks.from_dense(blobs(2, (40, 24)))
    together = crop_vectors(colours, rgb, masks, 32, batch=2)
    alone = [crop_vectors(colours, rgb, masks[[i]], 32, batch=1)[0] for i in range(len(masks))]
    torch.testing.assert_close(together, torch.stack(alone))
    assert len(crop_vectors(colours, rgb, masks[[]], 32)) == 0


def test_coverage_is_the_mean_over_the_pixels_of_a_cell() -> None:
    for grid in ((6, 10), (7, 9), (1, 1), (24, 40), (30, 50)):
        dense = blobs(3)
        got = coverage(Masks.from_dense(dense), grid)
        for i in range(grid[0]):
            for j in range(grid[1]):
                rows = [y for y in range(24) if int((y + 0.5) * grid[0] / 24) == i]
                columns = [x for x in range(40) if int((x + 0.5) * grid[1] / 40) == j]
                part = dense[:, rows][:, :, columns]
                mean = part.mean((1, 2)) if part.size else np.zeros(len(dense))
                np.testing.assert_allclose(got[:, i, j], mean, atol=1e-6)


def test_weights_fall_towards_the_border() -> None:
    cover = np.zeros((1, 9, 11), np.float32)
    cover[0, 1:8, 2:9] = 1
    cover[0, 8, 4] = 0.25
    got = border_weights(cover, 2.0)[0]
    for i, j in np.ndindex(9, 11):
        far = min(
            float(np.hypot(i - a, j - b)) for a, b in np.argwhere(cover[0] < 0.5).tolist()
        )  # cv2's own distance is within some percent of it
        assert abs(got[i, j] - cover[0, i, j] * min(far / 2, 1) * (far > 0)) < 0.03
    thin = np.full((1, 3, 4), 0.3, np.float32)
    np.testing.assert_array_equal(border_weights(thin, 2.0), thin)
    whole = np.ones((1, 3, 4), np.float32)
    np.testing.assert_array_equal(border_weights(whole, 2.0), whole)


def test_surroundings_are_the_rest_of_a_larger_box() -> None:
    cover = np.zeros((2, 20, 30), np.float32)
    cover[0, 4:12, 10:22] = 1
    cover[0, 4, 10] = 0.5
    got = surroundings(cover)
    expected = np.zeros((20, 30), np.float32)
    expected[2:14, 7:25] = 1
    expected -= cover[0] * (expected > 0)
    np.testing.assert_array_equal(got[0], expected)
    assert not got[1].any()


def test_similarity_is_the_mean_cosine_less_a_part_of_that_around() -> None:
    generator = torch.Generator().manual_seed(0)
    grid = F.normalize(torch.randn(6, 10, 8, generator=generator), dim=-1)
    vectors = F.normalize(torch.randn(3, 8, generator=generator), dim=-1)
    inside, around = np.random.default_rng(4).random((2, 5, 6, 10)).astype(np.float32)
    inside[1] = 0
    got = weighted_cosines(grid, vectors, inside, around, 0.3)
    for n in range(5):
        for q in range(3):
            means = []
            for weights in (inside[n], around[n]):
                total = sum(
                    float(weights[i, j]) * float(grid[i, j] @ vectors[q])
                    for i, j in np.ndindex(6, 10)
                )
                means.append(total / max(float(weights.sum()), 1e-6))
            assert abs(float(got[n, q]) - (means[0] - 0.3 * means[1])) < 1e-5


def test_chances_are_a_softmax_over_owners() -> None:
    cosines = torch.tensor([[0.2, 0.5, 0.1, 0.3, 0.3]])
    words = WordVectors(torch.zeros(5, 1), torch.tensor([0, 0, 1, 2, 2]), 3, 2)
    got = class_probabilities(cosines, words, 10.0)[0]
    best = np.exp([5.0, 1.0])
    total = best.sum() + 2 * np.exp(3.0)
    np.testing.assert_allclose(
        got, [best[0] / total, best[1] / total, 2 * np.exp(3.0) / total], rtol=1e-5
    )
    silent = WordVectors(torch.zeros(2, 1), torch.tensor([0, 2]), 3, None)
    assert class_probabilities(torch.tensor([[0.1, 0.1]]), silent, 10.0)[0].tolist() == [
        0.5,
        0.0,
        0.5,
    ]


def test_relative_scores_are_shares_of_a_softmax_over_masks() -> None:
    cosines = torch.randn(6, 2, generator=torch.Generator().manual_seed(1)) / 10
    shares = (50 * cosines).softmax(0)
    torch.testing.assert_close(relative_scores(cosines, 50), shares / shares.amax(0))
    assert len(relative_scores(cosines[:0], 50)) == 0


def test_the_best_of_each_word() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        word, score = rng.integers(0, 3, 12), rng.integers(0, 5, 12) / 5
        got = top_masks(word, score, 2)
        for k in range(3):
            mine = sorted(np.flatnonzero(word == k), key=lambda i: (-score[i], i))
            assert np.flatnonzero(got & (word == k)).tolist() == sorted(mine[:2])
    assert len(top_masks(np.zeros(0, int), np.zeros(0), 2)) == 0


def boxes_and_discs(seed: int, count: int, size_hw: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    out = np.zeros((count, *size_hw), bool)
    for i in range(count):
        cy, cx, r = rng.random(3) * [*size_hw, min(size_hw) / 2]
        far = np.hypot(y - cy, x - cx) if i % 2 else np.maximum(abs(y - cy), abs(x - cx))
        out[i] = far < r
    out[0] = False  # one may be empty
    return out


@pytest.mark.parametrize("size_hw", [(31, 45), (16, 8), (1, 23)])
def test_regions_are_the_sets_of_masks_that_cover_a_pixel(size_hw: tuple[int, int]) -> None:
    dense = boxes_and_discs(0, 13, size_hw)
    masks = Masks.from_dense(dense)
    seen = 0
    for start, stop in ((0, size_hw[0] // 3), (size_hw[0] // 3, size_hw[0])):
        if start == stop:
            continue
        numbers, ys, xs = overlap_regions(masks, start, stop)
        members = covering_masks(masks, ys, xs)
        np.testing.assert_array_equal(members[numbers].transpose(2, 0, 1), dense[:, start:stop])
        sets = np.unique(dense[:, start:stop].reshape(len(dense), -1), axis=1)
        assert len(ys) == sets.shape[1], "a region for each set"
        seen += len(ys)
    assert seen >= 3


def test_no_masks_are_one_region() -> None:
    numbers, ys, xs = overlap_regions(Masks.empty((5, 7)), 2, 5)
    assert numbers.shape == (3, 7)
    assert numbers.max() == 0
    assert covering_masks(Masks.empty((5, 7)), ys, xs).shape == (1, 0)
    none = mean_votes(np.zeros((1, 0), bool), np.zeros(0, np.float32), np.zeros((0, 3), np.float32))
    assert none.tolist() == [[0, 0, 0]]


def test_votes_by_hand() -> None:
    members = np.array([[True, True], [False, True], [False, False]])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    got = mean_votes(members, np.array([3, 1], np.float32), probabilities)
    np.testing.assert_allclose(got, [[2.9 / 4, 1.1 / 4], [0.2, 0.8], [0, 0]], rtol=1e-6)
