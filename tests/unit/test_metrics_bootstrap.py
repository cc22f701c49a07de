"""Intervals over photos, against the same resampling written as loops."""

from __future__ import annotations

import numpy as np
import pytest

from lexiseg.metrics import ConfusionMatrix, draw_weights, interval, resample, resample_iou


def test_weights_draw_as_many_photos_as_there_are_and_repeat_with_the_seed():
    weights = draw_weights(7, samples=50, seed=3)
    assert weights.shape == (50, 7)
    assert (weights.sum(1) == 7).all()
    np.testing.assert_array_equal(weights, draw_weights(7, samples=50, seed=3))
    assert (weights != draw_weights(7, samples=50, seed=4)).any()


def test_resampled_iou_equals_counting_the_drawn_photos_again():
    rng = np.random.default_rng(0)
    maps = [(rng.integers(0, 3, (5, 8)), rng.integers(0, 3, (5, 8))) for _ in range(6)]
    maps[0][1][:] = 255
    matrix = ConfusionMatrix(4)
    for pred, truth in maps:
        matrix.add(pred, truth)
    weights = draw_weights(6, samples=9, seed=1)
    got = resample_iou(matrix, weights)
    for row, times in zip(got, weights, strict=True):
        again = ConfusionMatrix(4)
        for (pred, truth), count in zip(maps, times, strict=True):
            for _ in range(count):
                again.add(pred, truth)
        np.testing.assert_allclose(row, again.iou())


def test_a_ratio_without_ground_is_nan():
    got = resample(np.array([1, 0]), np.array([2, 0]), np.array([[2, 0], [0, 2]]))
    np.testing.assert_allclose(got, [0.5, np.nan])


def test_interval_is_the_central_share_and_leaves_out_what_does_not_exist():
    values = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(interval(values), [0.025, 0.975])
    table = np.stack([values, np.full(1001, np.nan), np.where(values < 0.5, np.nan, values)], 1)
    got = interval(table)
    np.testing.assert_allclose(got[:, 0], [0.025, 0.975])
    assert np.isnan(got[:, 1]).all()
    assert got[0, 2] == pytest.approx(0.5125)


def test_interval_of_a_mean_has_the_width_that_theory_gives():
    # Accuracy of 400 one-pixel photos: the interval of a proportion, p +- 1.96 sqrt(p (1-p) / n).
    hits = (np.arange(400) < 280).astype(np.int64)
    low, high = interval(resample(hits, np.ones(400, np.int64), draw_weights(400, samples=4000)))
    expected = 1.96 * np.sqrt(0.7 * 0.3 / 400)
    assert high - low == pytest.approx(2 * expected, rel=0.06)
    assert low < 0.7 < high
