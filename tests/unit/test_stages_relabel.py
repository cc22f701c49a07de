"""What becomes of a label map under masks, against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from lexiseg.masks import Masks
from lexiseg.results import ScoreMap
from lexiseg.stages.label_resize import apply_thresholds
from lexiseg.stages.merge import mask_nms, resolve


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
        left = resolve(labels, masks, words, rank)
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_array_equal(left.dense(), dense & (expected == words[:, None, None]))


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
