"""Boundary F1, against hand-worked pictures and slow obvious code."""

from __future__ import annotations

import numpy as np
import pytest
from tests.metric_inputs import CLASSES, IGNORE, label_maps

from lexiseg.metrics import BoundaryIoU, BoundaryScore, boundary_counts


def halves(column: int, size_hw=(6, 40)):
    labels = np.zeros(size_hw, int)
    labels[:, column:] = 1
    return labels


def slow_counts(pred, truth, classes, reach):
    height, width = truth.shape

    def outline(labels, index):
        found = set()
        for y in range(height):
            for x in range(width):
                near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                inside = [(a, b) for a, b in near if 0 <= a < height and 0 <= b < width]
                if labels[y, x] == index and any(labels[p] != index for p in inside):
                    found.add((y, x))
        return found

    def close(points, others):
        def near(y, x):
            return any((y - b) ** 2 + (x - a) ** 2 <= reach**2 for b, a in others)

        return sum(near(y, x) for y, x in points)

    rows = []
    for index in range(classes):
        ours, theirs = outline(pred, index), outline(truth, index)
        rows.append([close(ours, theirs), len(ours), close(theirs, ours), len(theirs)])
    return rows


@pytest.mark.parametrize("reach", [1, 3])
def test_counts_equal_slow_code(reach):
    rng = np.random.default_rng(5)
    pred = rng.integers(0, 3, (3, 5)).repeat(6, 0).repeat(6, 1).astype(np.int16)
    truth = rng.integers(0, 3, (3, 5)).repeat(6, 0).repeat(6, 1).astype(np.uint8)
    pred[3, 4:9], truth[10:, 20] = 2, 1
    got = boundary_counts(pred, truth, 4, tolerance=reach / np.hypot(18, 30))
    np.testing.assert_array_equal(got, slow_counts(pred, truth, 4, reach))
    assert 0 < got[:3, 0].sum() < got[:3, 1].sum()


def test_the_same_map_scores_one_and_the_edge_of_the_picture_is_no_outline():
    score = BoundaryScore(3)
    score.add(halves(20), halves(20))
    np.testing.assert_array_equal(score.total[0], [6, 6, 6, 6])
    np.testing.assert_allclose(score.f1(), [1, 1, np.nan])


@pytest.mark.parametrize(("shift", "expected"), [(1, 1.0), (2, 0.0)])
def test_an_outline_counts_as_met_within_the_tolerance(shift, expected):
    score = BoundaryScore(2)
    score.add(halves(20 + shift), halves(20))
    np.testing.assert_allclose(score.f1(), expected, atol=1e-9)


def test_outlines_beside_an_ignored_band_do_not_count():
    truth = halves(20)
    truth[:, 18:22] = 255
    score = BoundaryScore(2)
    score.add(halves(20), truth)
    assert score.total.sum() == 0
    score.add(halves(30), halves(20))
    assert score.total[1, 1] == 6


def test_sums_over_photos_come_before_the_division():
    score = BoundaryScore(2)
    score.add(halves(20), halves(20))
    score.add(halves(30, (60, 40)), halves(20, (60, 40)))
    # 6 of 66 outline pixels met, on both sides.
    np.testing.assert_allclose(score.f1(), 6 / 66)


def test_boundary_iou_against_the_slow_way() -> None:
    total = np.zeros((CLASSES, 2), int)
    metrics = BoundaryIoU(CLASSES, ignore_index=IGNORE)
    for pred, truth in label_maps():
        metrics.add(pred, truth)
        reach = max(1, round(0.02 * float(np.hypot(*truth.shape))))
        counted = truth != IGNORE
        for k in range(CLASSES):
            bands = []
            for side in (pred, truth):
                mask = (side == k) & counted
                around = np.pad(mask, reach)
                band = np.zeros_like(mask)
                for y, x in np.argwhere(mask):
                    band[y, x] = not around[y : y + 2 * reach + 1, x : x + 2 * reach + 1].all()
                bands.append(band)
            total[k] += (bands[0] & bands[1]).sum(), (bands[0] | bands[1]).sum()
    np.testing.assert_array_equal(metrics.total, total)
    assert np.nanmin(metrics.iou()[:5]) > 0
    assert metrics.iou()[5] == 0  # only predicted
    assert np.isnan(metrics.iou()[6])
