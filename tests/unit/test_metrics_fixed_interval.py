"""CLIPSeg's metrics against a slow implementation, threshold by threshold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import simpson

from lexiseg.metrics.fixed_interval import THRESHOLDS, FixedIntervalMetrics


def samples(count: int = 7):
    rng = np.random.default_rng(3)
    for i in range(count):
        truth = rng.random((9, 13)) < 0.3
        noise = rng.random((9, 13)).astype(np.float32)
        probability = np.clip(0.5 * truth + 0.6 * noise, 0, 1)
        probability[0, :3] = THRESHOLDS[[5, 10, 20]]  # a pixel on a threshold does not pass it
        counted = rng.random((9, 13)) < 0.9
        yield probability, truth, "abc"[i % 3], counted


def slow() -> dict[str, object]:
    fg, bg, mean, precision, recall = [], [], [], [], []
    for t in np.linspace(0, 1, 51)[1:-1]:
        total = np.zeros(4)
        own: dict[str, np.ndarray] = {}
        for p, g, name, counted in samples():
            counts = np.zeros(4)
            for value, true, counts_here in zip(p.flat, g.flat, counted.flat, strict=True):
                if counts_here:
                    counts[
                        (0 if true else 1) if value > p.dtype.type(t) else (2 if true else 3)
                    ] += 1
            total += counts
            own[name] = own.get(name, np.zeros(4)) + counts
        tp, fp, fn, tn = total
        fg.append(tp / (1 + tp + fp + fn))
        bg.append(tn / (1 + tn + fp + fn))
        mean.append(np.mean([c[0] / (1 + c[0] + c[1] + c[2]) for c in own.values()]))
        if tp + fp > 0:
            precision.append(tp / (1 + tp + fp))
            recall.append(tp / (1 + tp + fn))
    pairs = sorted(set(zip(recall, precision, strict=True)), key=lambda x: x[0])
    return {"fg": fg, "bg": bg, "mean": mean, "pairs": pairs}


def test_against_the_slow_way() -> None:
    metrics = FixedIntervalMetrics()
    for p, g, name, counted in samples():
        metrics.add(p, g, name, counted)
    got, wanted = metrics.compute(), slow()
    assert len(got.fg_iou) == 49
    np.testing.assert_allclose(got.fg_iou, wanted["fg"])
    np.testing.assert_allclose(got.mean_iou, wanted["mean"])
    both = (np.array(wanted["fg"]) + np.array(wanted["bg"])) / 2
    np.testing.assert_allclose(got.bin_iou, both)
    recall, precision = zip(*wanted["pairs"], strict=True)  # type: ignore[misc]
    area = simpson(precision, x=recall)
    assert got.ap == pytest.approx(area, abs=1e-9)
    assert got.fg_iou_at(0.3) == got.fg_iou[14]
    assert got.mean_iou_at(0.5) == got.mean_iou[24]


def test_a_perfect_map() -> None:
    metrics = FixedIntervalMetrics()
    truth = np.zeros((20, 30), np.bool_)
    truth[4:12, 3:28] = True
    metrics.add(truth.astype(np.float32), truth, "x")
    got = metrics.compute()
    assert min(got.fg_iou) == max(got.fg_iou) == 200 / 201


def test_nothing_added_scores_nothing() -> None:
    assert FixedIntervalMetrics().compute().ap == 0.0
