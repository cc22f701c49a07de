"""What becomes of a label map under masks, against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from lexiseg.masks import Masks
from lexiseg.results import ScoreMap
from lexiseg.stages.merge import resolve, without_duplicates
from lexiseg.stages.regions import find_regions
from lexiseg.stages.relabel import (
    RELEASED,
    apply_thresholds,
    fill_released,
    release,
    sampled,
    values_at,
)


@pytest.mark.parametrize("batch", range(4))
def test_overlaps_and_duplicates_are_settled_as_pixel_by_pixel(batch: int) -> None:
    for seed in range(batch * 50, batch * 50 + 50):
        rng = np.random.default_rng(seed)
        height, width = rng.integers(4, 12, 2)
        count = int(rng.integers(1, 9))
        dense = np.zeros((count, height, width), bool)
        for mask in dense:
            y, x = rng.integers(0, height), rng.integers(0, width)
            mask[y : y + rng.integers(1, 6), x : x + rng.integers(1, 6)] = True
        if count > 3:
            dense[2] = dense[0]
        words = rng.integers(0, 3, count)
        rank = rng.integers(0, 4, count) / 4  # ties happen
        masks = Masks.from_dense(dense)

        threshold = (0.3, 0.8, 1.0)[seed % 3]
        kept: list[int] = []
        for i in sorted(range(count), key=lambda i: (-rank[i], i)):
            overlaps = (
                (dense[i] & dense[j]).sum() / (dense[i] | dense[j]).sum()
                for j in kept
                if words[j] == words[i]
            )
            if all(iou < threshold for iou in overlaps):
                kept.append(i)
        got = without_duplicates(masks.iou(masks), words, rank, threshold)
        assert got.tolist() == sorted(kept)

        labels = rng.integers(-1, 3, (height, width)).astype(np.int16)
        expected = labels.copy()
        for y, x in np.ndindex(height, width):
            over = [i for i in range(count) if dense[i, y, x]]
            if over:
                expected[y, x] = words[min(over, key=lambda i: (-rank[i], i))]
        left = resolve(labels, masks, words, rank)
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_array_equal(left.dense(), dense & (expected == words[:, None, None]))


def test_bilinear_values_are_those_of_the_full_map() -> None:
    rng = np.random.default_rng(0)
    scores = ScoreMap(rng.random((3, 5, 4)).astype(np.float16), (37, 23))
    rows, columns = (v.ravel() for v in np.mgrid[:37, :23])
    got = values_at(scores, rows, columns).reshape(3, 37, 23)
    for k in range(3):
        np.testing.assert_allclose(got[k], scores.full(k), atol=2e-3)


@pytest.mark.parametrize("closed", [False, True])
def test_released_pixels_go_to_the_next_word(closed: bool) -> None:
    grid = np.zeros((3, 4, 6), np.float16)
    grid[0], grid[1], grid[2] = 0.5, 0.2, 0.05
    grid[1, :, :3] = 0.4  # on the left the second word is next, on the right nothing is
    labels = np.zeros((8, 12), np.int16)
    regions = find_regions(labels, np.ones((8, 12), np.float32), 3, threshold=0, least=1)
    release(labels, regions, np.array([True]))
    assert (labels == RELEASED).all()
    labels[2:4, 2:4] = 2  # a mask was painted here
    fill_released(labels, ScoreMap(grid, (8, 12)), closed=closed)
    assert (labels[:2, :5] == 1).all()
    assert (labels[:2, 8:] == (1 if closed else -1)).all()
    assert (labels[2:4, 2:4] == 2).all()


def test_the_only_word_of_a_closed_vocabulary_stays() -> None:
    labels = np.full((3, 5), RELEASED, np.int16)
    fill_released(labels, ScoreMap(np.ones((1, 1, 1), np.float16), (3, 5)), closed=True)
    assert (labels == 0).all()


def test_only_handled_regions_are_released_also_from_a_smaller_copy() -> None:
    labels = np.full((40, 60), -1, np.int16)
    labels[4:12, 4:20], labels[20:36, 30:50] = 0, 1
    small = sampled(labels, (20, 30))
    regions = find_regions(small, np.ones(small.shape, np.float32), 2, threshold=0, least=1)
    before = labels.copy()
    release(labels, regions, np.array([False, True]))
    np.testing.assert_array_equal(labels == RELEASED - 1, before == 1)
    np.testing.assert_array_equal(labels == 0, before == 0)


def test_thresholds_spare_what_lies_under_sure_masks() -> None:
    grid = np.linspace(0, 1, 6, dtype=np.float16)[None, None].repeat(2, 0)
    scores = ScoreMap(np.ascontiguousarray(grid), (4, 12))
    labels = np.zeros((4, 12), np.int16)
    labels[2:] = 1
    safe = np.zeros((1, 4, 12), bool)
    safe[0, 0, 0] = True
    apply_thresholds(labels, scores, np.array([0.5, 0.0]), Masks.from_dense(safe))
    weak = scores.full(0) < 0.5
    weak[2:] = False
    weak[0, 0] = False
    np.testing.assert_array_equal(labels == -1, weak)
