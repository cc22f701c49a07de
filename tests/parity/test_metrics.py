"""Metrics against mmsegmentation, torchmetrics, CLIPSeg, PhraseCut, DAVIS, boundary IoU and HSNet.

The golden file was made by ``tests/parity/golden/make_metrics.py``, which names commits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.metric_inputs import CLASSES, IGNORE, label_maps, mask_pairs, probabilities
from tests.parity.golden import make_clipseg_episodes as episodes

from lexiseg.evaluation.clipseg_protocol import pad_square, padded_to_label
from lexiseg.metrics import (
    ConfusionMatrix,
    FewShotMetrics,
    FixedIntervalMetrics,
    PhraseCutMetrics,
    VideoMetrics,
    boundary_band,
    class_scores,
    contour_accuracy,
    frequency_weighted_iou,
    pooled,
    region_similarity,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "metrics.json").read_text("utf-8"))
EXACT: dict[str, Any] = {"rel": 0, "abs": 1e-9}


def array(values: Any) -> np.ndarray:
    return np.array(values, np.float64)  # null is NaN


@pytest.fixture(scope="module")
def matrix() -> ConfusionMatrix:
    made = ConfusionMatrix(CLASSES, ignore_index=IGNORE)
    for pred, truth in label_maps():
        made.add(pred, truth)
    return made


def test_mmsegmentation(matrix: ConfusionMatrix) -> None:
    want, got = GOLDEN["mmsegmentation"], class_scores(matrix.total)
    for name, key in (
        ("iou", "IoU"),
        ("recall", "Acc"),
        ("precision", "Precision"),
        ("f1", "Dice"),
    ):
        np.testing.assert_allclose(getattr(got, name), array(want[key]), rtol=0, atol=1e-9)
    assert matrix.pixel_accuracy() == pytest.approx(want["aAcc"], **EXACT)
    assert got.mean_iou == pytest.approx(want["mIoU"], **EXACT)
    assert got.mean_accuracy == pytest.approx(want["mAcc"], **EXACT)
    means = got.macro()
    assert means.precision == pytest.approx(want["mPrecision"], **EXACT)
    assert means.recall == pytest.approx(want["mRecall"], **EXACT)
    assert means.f1 == pytest.approx(want["mDice"], **EXACT)
    # Its F score of a class that was only predicted is NaN, 0/0; its Dice, and ours, is 0.
    assert got.macro(range(5)).f1 == pytest.approx(want["mFscore"], **EXACT)


def test_torchmetrics(matrix: ConfusionMatrix) -> None:
    want = GOLDEN["torchmetrics"]  # in single precision
    got = frequency_weighted_iou(matrix.total)
    assert got == pytest.approx(want["weighted_iou"], abs=1e-6)
    assert pooled(matrix.total).f1 == pytest.approx(want["micro_f1"], abs=1e-6)
    scores = class_scores(matrix.total).f1
    np.testing.assert_allclose(np.nan_to_num(scores), want["f1"], rtol=0, atol=1e-6)


def test_clipseg() -> None:
    metrics, want = FixedIntervalMetrics(), GOLDEN["clipseg"]
    for p, g, index in probabilities():
        metrics.add(p, g, index)
    got = metrics.compute()
    np.testing.assert_allclose(got.fg_iou, want["fgiou_scores"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.bin_iou, want["biniou_scores"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.mean_iou, want["mean_iou_scores"], rtol=0, atol=1e-9)
    assert got.ap == pytest.approx(want["ap"], **EXACT)
    assert got.best_mean_iou == pytest.approx((want["miou_best"], want["miou_best_t"]), **EXACT)


def test_phrasecut() -> None:
    metrics, want = PhraseCutMetrics(), GOLDEN["phrasecut"]
    for pred, truth in mask_pairs():
        metrics.add(pred, truth)
    got = metrics.compute(total=len(list(mask_pairs())) + 3)
    assert got.mean_iou == pytest.approx(want["mean_mask_iou"], **EXACT)
    assert got.cumulative_iou == pytest.approx(want["cum_mask_iou"], **EXACT)
    np.testing.assert_allclose(got.accuracy, list(want["pred_mask_acc"].values()), atol=1e-9)
    assert got.overall_iou == pytest.approx(want["overall"], abs=5e-5)  # printed to four places


def test_davis() -> None:
    want = GOLDEN["davis"]
    for (pred, truth), js, fs in zip(mask_pairs(), want["j"], want["f"], strict=True):
        void = np.zeros_like(truth)
        void[3:6, 10:20] = True
        for j, f, where in zip(js, fs, (None, void), strict=True):
            assert region_similarity(pred, truth, where) == pytest.approx(j, **EXACT)
            assert contour_accuracy(pred, truth, where) == pytest.approx(f, **EXACT)
    metrics = VideoMetrics()
    pairs = list(mask_pairs())
    metrics.add([p for p, _ in pairs], [t for _, t in pairs])
    got = metrics.compute()
    j_statistics = (got.j_mean, got.j_recall, got.j_decay)
    assert j_statistics == pytest.approx(want["j_statistics"], **EXACT)
    f_statistics = (got.f_mean, got.f_recall, got.f_decay)
    assert f_statistics == pytest.approx(want["f_statistics"], **EXACT)
    assert got.j_and_f == pytest.approx((got.j_mean + got.f_mean) / 2)


def test_boundary_bands() -> None:
    got = [
        [*(int(side.sum()) for side in bands), int((bands[0] & bands[1]).sum())]
        for pair in mask_pairs()
        for width in (0.02, 0.06)
        for bands in [[boundary_band(side, width=width) for side in pair]]
    ]
    assert got == GOLDEN["boundary_iou"]


def test_hsnet() -> None:
    metrics, want = FewShotMetrics([5, 6, 7, 8, 9]), GOLDEN["hsnet"]
    for index, (pred, truth) in enumerate(mask_pairs()):
        void = np.zeros_like(truth)
        void[4:8, 5:30] = True
        metrics.add(pred, truth, 5 + index % 4, ~void)
    got = metrics.compute()
    # A class without an episode counts 0, as there.
    assert got.mean_iou == pytest.approx(want["miou"], **EXACT)
    assert got.fb_iou == pytest.approx(want["fb_iou"], **EXACT)


def test_clipseg_of_pascals_episodes() -> None:
    """Padding, corners on corners, and what does not count, as CLIPSeg's code has them."""
    path = Path(__file__).parent / "golden" / "clipseg_episodes.json"
    want = json.loads(path.read_text("utf-8"))
    metrics = FixedIntervalMetrics()
    made = zip(episodes.inputs(), want["photos"], want["masks"], episodes.CLASSES, strict=True)
    for (rgb, label, logits), photo, mask, index in made:
        found = pad_square(rgb, episodes.SIDE)[::7, ::9]
        # Rounding of halves is the processor's: scaled pixels may be one level apart.
        assert np.abs(found.astype(int) - np.array(photo)).max() <= 1
        bits = np.unpackbits(np.array(mask, np.uint8)).reshape(episodes.SIDE, episodes.SIDE)
        assert (pad_square(label == 1, episodes.SIDE) == bits.astype(bool)).all()
        probability = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
        full = padded_to_label(probability, label.shape)
        metrics.add(full, label == 1, index, label != 255)
    got = metrics.compute()
    for name, key in (
        ("fg_iou", "fgiou_scores"), ("bin_iou", "biniou_scores"), ("mean_iou", "mean_iou_scores"),
    ):  # fmt: skip
        # A pixel whose probability is a threshold's but for rounding may fall on either side.
        np.testing.assert_allclose(getattr(got, name), want["scores"][key], rtol=0, atol=2e-4)
    assert got.ap == pytest.approx(want["scores"]["ap"], abs=2e-4)
    assert got.mean_iou_at(0.24) == pytest.approx(want["scores"]["mean_iou_ct"], abs=2e-4)
    wrong = FixedIntervalMetrics()  # pixels beside corners: what other resizing gives
    for (_, label, logits), index in zip(episodes.inputs(), episodes.CLASSES, strict=True):
        side = max(label.shape)
        square = torch.from_numpy(1 / (1 + np.exp(-logits)))[None, None]
        full = F.interpolate(square, (side, side), mode="bilinear", align_corners=False)
        cut = full[0, 0, : label.shape[0], : label.shape[1]].numpy()
        wrong.add(cut, label == 1, index, label != 255)
    apart = np.abs(np.array(wrong.compute().mean_iou) - want["scores"]["mean_iou_scores"])
    assert apart.max() > 2e-3
