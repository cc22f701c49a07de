"""Scores by class against scikit-learn, and by hand where classes are absent or only predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.later import Later
from tests.metric_inputs import CLASSES, IGNORE, label_maps

from lexiseg.errors import OptionError
from lexiseg.metrics import (
    ConfusionMatrix,
    FewShotMetrics,
    PhraseCutMetrics,
    VideoMetrics,
    base_novel,
    class_scores,
    frequency_weighted_iou,
    mean_of_folds,
    pooled,
)

sklearn_metrics: Any = Later("sklearn.metrics")


def test_against_scikit_learn() -> None:
    matrix = ConfusionMatrix(CLASSES, ignore_index=IGNORE)
    kept = []
    for pred, truth in label_maps():
        matrix.add(pred, truth)
        kept.append((pred[truth != IGNORE], truth[truth != IGNORE]))
    pred, truth = (np.concatenate(side) for side in zip(*kept, strict=True))
    labels = range(CLASSES)
    want = sklearn_metrics.precision_recall_fscore_support(
        truth, pred, labels=labels, zero_division=np.nan
    )
    got = class_scores(matrix.total)
    for values, wanted in zip((got.precision, got.recall, got.f1), want[:3], strict=True):
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-9)
    want = sklearn_metrics.precision_recall_fscore_support(
        truth, pred, labels=labels, average="micro"
    )
    micro = pooled(matrix.total)
    assert (micro.precision, micro.recall, micro.f1) == pytest.approx(want[:3], abs=1e-9)
    weighted = sklearn_metrics.jaccard_score(truth, pred, labels=labels[:5], average="weighted")
    assert frequency_weighted_iou(matrix.total) == pytest.approx(weighted, abs=1e-9)


def test_by_hand_with_a_column_for_pixels_without_a_word() -> None:
    # true class by predicted class; the last column is no class. Class 2 is only predicted.
    total = np.array([[6, 1, 1, 2], [0, 5, 0, 5], [0, 0, 0, 0], [0, 0, 0, 0]])
    total = np.concatenate([total[:, :3], np.zeros((4, 1), int), total[:, 3:]], 1)
    got = class_scores(total)
    np.testing.assert_allclose(got.iou, [6 / 10, 5 / 11, 0, np.nan])
    np.testing.assert_allclose(got.precision, [1, 5 / 6, 0, np.nan])
    np.testing.assert_allclose(got.recall, [6 / 10, 5 / 10, np.nan, np.nan])
    np.testing.assert_allclose(got.f1, [12 / 16, 10 / 16, 0, np.nan])
    assert got.mean_accuracy == pytest.approx(0.55)
    assert got.macro([0, 1]).precision == pytest.approx(11 / 12)
    assert got.macro([3]).f1 != got.macro([3]).f1  # NaN
    micro = pooled(total)
    assert (micro.precision, micro.recall) == (11 / 13, 11 / 20)
    assert micro.f1 == pytest.approx(22 / 33)
    assert frequency_weighted_iou(total) == pytest.approx((10 * 6 / 10 + 10 * 5 / 11) / 20)
    assert np.isnan(frequency_weighted_iou(np.zeros((2, 2), int)))
    assert np.isnan(pooled(np.zeros((2, 2), int)).f1)


def test_base_and_novel_classes() -> None:
    values = np.array([0.6, 0.2, np.nan, 0.4])
    got = base_novel(values, [0, 1, 2], [3])
    assert (got.base, got.novel) == pytest.approx((0.4, 0.4))
    assert got.harmonic == pytest.approx(0.4)
    assert (got.base_classes, got.novel_classes) == (2, 1)
    assert base_novel(values, [0], [3]).harmonic == pytest.approx(2 * 0.6 * 0.4 / 1.0)
    assert base_novel(np.array([0.0, 0.0]), [0], [1]).harmonic == 0
    assert np.isnan(base_novel(values, [0], [2]).harmonic)


def test_few_shot_by_hand() -> None:
    metrics = FewShotMetrics([3, 4])
    truth = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], bool)
    pred = np.array([[1, 0, 1, 0], [0, 0, 0, 0]], bool)
    counted = np.ones_like(truth)
    counted[1, 3] = False
    metrics.add(pred, truth, 3, counted)
    assert metrics.iou() == {3: 1 / 3, 4: 0.0}
    metrics.add(truth, truth, 4)
    got = metrics.compute()
    assert got.mean_iou == pytest.approx((1 / 3 + 1) / 2)
    assert got.fb_iou == pytest.approx(((1 + 2) / (3 + 2) + (4 + 6) / (6 + 6)) / 2)
    assert (got.classes, got.episodes) == (2, 2)
    both = mean_of_folds([got, got])
    assert (both.mean_iou, both.fb_iou, both.classes) == (got.mean_iou, got.fb_iou, 4)
    with pytest.raises(OptionError, match="class 7 is not of this fold; its classes are 3, 4"):
        metrics.add(truth, truth, 7)
    with pytest.raises(OptionError, match="no folds"):
        mean_of_folds([])


def test_nothing_added_has_no_score() -> None:
    got = PhraseCutMetrics().compute()
    assert np.isnan([got.mean_iou, got.cumulative_iou, got.overall_iou]).all()
    assert np.isnan(VideoMetrics().compute().j_and_f)
    assert np.isnan(FewShotMetrics([1]).compute().fb_iou)
