"""Label maps at another size, renamed, and without what scores too little: against loops."""

from __future__ import annotations

import numpy as np
import pytest

from lexiseg.masks import Masks
from lexiseg.results import ScoreMap
from lexiseg.stages.label_resize import apply_thresholds, map_labels, resize_labels


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
