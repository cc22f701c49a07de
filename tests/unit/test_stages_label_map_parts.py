"""Label maps and masks brought together, against slow obvious code."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.methods.clip_then_sam.steps import apply_thresholds
from lexiseg.results import ScoreMap
from lexiseg.stages.connected_parts import connected_parts
from lexiseg.stages.label_map import (
    cut,
    map_labels,
    mean_scores,
    resize_labels,
)
from lexiseg.stages.mask_selection import mask_nms
from lexiseg.stages.painting import paint


def slow_parts(labels: NDArray[np.int16]) -> list[tuple[int, frozenset[tuple[int, int]]]]:
    """(word, pixels) of every 8-connected part, by flood fill."""
    left = {(y, x) for y in range(labels.shape[0]) for x in range(labels.shape[1])}
    found = []
    while left:
        start = min(left)
        word, part, edge = labels[start], set(), [start]
        left.discard(start)
        while edge:
            y, x = edge.pop()
            part.add((y, x))
            for near in [(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]:
                if near in left and labels[near] == word:
                    left.discard(near)
                    edge.append(near)
        found.append((int(word), frozenset(part)))
    return found


@pytest.mark.parametrize("least", [1, 3, 10])
@pytest.mark.parametrize("size_hw", [(17, 26), (1, 40), (40, 1), (1, 1)])
def test_parts_are_those_of_a_flood_fill(size_hw: tuple[int, int], least: int) -> None:
    rng = np.random.default_rng(sum(size_hw))
    labels = rng.choice(5, size_hw, p=[0.5, 0.2, 0.1, 0.1, 0.1]).astype(np.int16) - 1
    scores = rng.random(size_hw).astype(np.float16)
    masks, words, means = connected_parts(labels, scores, 6, min_area=least)
    made = [
        (int(word), frozenset(map(tuple, np.argwhere(mask).tolist())))
        for word, mask in zip(words, masks, strict=True)
    ]
    wanted = [(w, part) for w, part in slow_parts(labels) if w >= 0 and len(part) >= least]
    assert sorted(made, key=str) == sorted(wanted, key=str)
    for (_, part), mean in zip(made, means, strict=True):
        assert mean == pytest.approx(np.mean([float(scores[p]) for p in part]), abs=1e-5)


def test_parts_that_wind_are_those_of_opencv() -> None:
    """Combs, a spiral and noise: runs that are joined late, from several sides."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, (90, 140)).astype(np.int16)
    labels[:30, :60] = np.arange(60) % 2  # teeth, whose back comes last
    labels[30, :60] = 0
    labels[40:80, 10:60] = 1
    for i in range(0, 18, 4):  # rings, each opened to the one inside
        labels[42 + i : 78 - i, 12 + i : 58 - i] = 0
        labels[44 + i : 76 - i, 14 + i : 56 - i] = 1
        labels[43 + i : 45 + i, 20 + i] = 1
    scores = rng.random(labels.shape).astype(np.float16)
    for word in (0, 1):
        masks, words, means = connected_parts(labels, scores, 2, min_area=1, only=[word])
        count, parts = cv2.connectedComponents((labels == word).astype(np.uint8))
        assert words.tolist() == [word] * (count - 1)
        for mask, mean in zip(masks, means, strict=True):
            inside = np.unique(parts[mask])
            np.testing.assert_array_equal(mask, parts == inside[0])
            assert mean == pytest.approx(scores[mask].astype(float).mean(), rel=1e-4)


def test_order_is_by_word_then_from_large_to_small() -> None:
    labels = np.array(
        [
            [1, -1, 0, 0, -1, 1],
            [-1, -1, -1, -1, -1, 1],
            [0, -1, 2, 2, -1, 1],
        ],
        np.int16,
    )
    masks, words, means = connected_parts(labels, np.ones((3, 6), np.float16), 4, min_area=1)
    assert words.tolist() == [0, 0, 1, 1, 2]
    assert masks.areas.tolist() == [2, 1, 3, 1, 2]
    assert masks.boxes_xyxy[0].tolist() == [2, 0, 4, 1]
    assert means.tolist() == [1, 1, 1, 1, 1]
    assert (words.dtype, means.dtype, masks.size_hw) == (np.int64, np.float32, (3, 6))


def test_parts_that_touch_at_a_corner_are_one_and_holes_stay() -> None:
    labels = np.zeros((5, 7), np.int16)
    labels[2, 3] = 1
    labels[0, 6] = labels[1, 5] = 1
    masks, words, _ = connected_parts(labels, np.ones((5, 7), np.float16), 2, min_area=1)
    assert words.tolist() == [0, 1, 1]
    assert masks.areas.tolist() == [32, 2, 1]
    assert not masks.mask(0)[2, 3]


def test_nothing_found() -> None:
    labels = np.full((4, 9), -1, np.int16)
    masks, words, means = connected_parts(labels, np.ones((4, 9), np.float16), 3, min_area=1)
    assert (len(masks), masks.size_hw, len(words), len(means)) == (0, (4, 9), 0, 0)
    assert len(connected_parts(labels + 1, np.ones((4, 9), np.float16), 3, min_area=37)[0]) == 0


def test_wide_labels_are_taken_too() -> None:
    labels = np.full((3, 5), 40_000, np.int32)
    masks, words, _ = connected_parts(labels, np.ones((3, 5), np.float16), 40_001, min_area=1)
    assert (words.tolist(), masks.areas.tolist()) == ([40_000], [15])


def test_mean_scores_are_over_a_words_own_pixels() -> None:
    labels = np.array([[0, 0, 2], [-1, 2, 2]], np.int16)
    scores = np.array([[0.5, 1.0, 0.25], [1.0, 0.25, 1.0]], np.float16)
    assert mean_scores(labels, scores, 4).tolist() == [0.75, 0.0, 0.5, 0.0]


def test_mean_scores_of_tall_pictures() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.integers(0, 4, (2500, 3)) - 1).astype(np.int16)
    scores = rng.random((2500, 3)).astype(np.float16)
    expected = [scores[labels == k].astype(float).mean() for k in range(3)]
    np.testing.assert_allclose(mean_scores(labels, scores, 3), expected, rtol=1e-5)


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
        got = mask_nms(masks.iou(masks), words, rank, threshold)
        assert got.tolist() == sorted(kept)

        labels = rng.integers(-1, 3, (height, width)).astype(np.int16)
        expected = labels.copy()
        for y, x in np.ndindex(height, width):
            over = [i for i in range(count) if dense[i, y, x]]
            if over:
                expected[y, x] = words[min(over, key=lambda i: (-rank[i], i))]
        before = labels.copy()
        painted = paint(labels, masks, words, rank)
        np.testing.assert_array_equal(painted, expected)
        np.testing.assert_array_equal(labels, before)  # a new map
        assert painted.dtype == labels.dtype
        left = cut(masks, painted, words)
        np.testing.assert_array_equal(left.dense(), dense & (expected == words[:, None, None]))


@pytest.mark.parametrize("size_hw", [(3, 4), (11, 5), (7, 9), (1, 1), (14, 18)])
def test_a_map_at_another_size_has_the_nearest_pixels(size_hw: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(-1, 9, (7, 9)).astype(np.int16)
    got = resize_labels(labels, size_hw)
    assert (got.shape, got.dtype) == (size_hw, np.int16)
    for y, x in np.ndindex(*size_hw):
        place = int((y + 0.5) * 7 / size_hw[0]), int((x + 0.5) * 9 / size_hw[1])
        assert got[y, x] == labels[place]


@pytest.mark.parametrize("kind", [np.int16, np.int32])
def test_labels_are_renamed_and_what_has_none_reads_the_last_value(kind: type) -> None:
    labels = np.array([[0, 1, 2], [-1, 2, 3]], kind)
    got = map_labels(labels, np.array([7, 5, -1, 9]))
    assert got.tolist() == [[7, 5, -1], [9, -1, 9]]
    assert got.dtype == kind
    assert labels.tolist() == [[0, 1, 2], [-1, 2, 3]]


def test_thresholds_spare_what_lies_under_sure_masks() -> None:
    grid = np.linspace(0, 1, 6, dtype=np.float16)[None, None].repeat(2, 0)
    scores = ScoreMap(np.ascontiguousarray(grid), (4, 12))
    labels = np.zeros((4, 12), np.int16)
    labels[2:] = 1
    safe = np.zeros((1, 4, 12), bool)
    safe[0, 0, 0] = True
    before, sure = labels.copy(), Masks.from_dense(safe)
    got = apply_thresholds(labels, scores, np.array([0.5, 0.0]), sure)
    np.testing.assert_array_equal(labels, before)  # a new map
    weak = scores.full(0) < 0.5
    weak[2:] = False
    weak[0, 0] = False
    np.testing.assert_array_equal(got, np.where(weak, -1, labels))
    free = apply_thresholds(labels, scores, np.array([0.0, 0.0]), sure)
    np.testing.assert_array_equal(free, labels)
