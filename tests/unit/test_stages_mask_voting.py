"""Regions of pixels that the same masks cover, and what the masks make of them."""

from __future__ import annotations

import numpy as np
import pytest

from lexiseg.masks import Masks
from lexiseg.stages.mask_voting import covering_masks, mean_votes, overlap_regions


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
