"""Where two published protocols share a name, or a rule bites: hand-worked cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import published_trees

from lexiseg.datasets import open_dataset
from lexiseg.evaluation.clipseg_protocol import squash
from lexiseg.metrics import FewShotMetrics, FixedIntervalMetrics, PhraseCutMetrics


def masks(*sizes: int) -> list[np.ndarray[Any, np.dtype[np.bool_]]]:
    """Masks of so many pixels, each within the next."""
    out = []
    for size in sizes:
        mask = np.zeros((7, 9), np.bool_)
        mask.ravel()[:size] = True
        out.append(mask)
    return out


def test_phrasecut_counts_an_iou_above_a_half_not_at_it() -> None:
    metrics = PhraseCutMetrics()
    metrics.add(*masks(5, 10))  # IoU 1/2
    assert metrics.compute().accuracy[0] == 0
    metrics.add(*masks(6, 10))
    assert metrics.compute().accuracy[0] == pytest.approx(1 / 2)
    # The mean is over phrases, "cumulative" is over pixels.
    assert metrics.compute().mean_iou == pytest.approx((5 / 10 + 6 / 10) / 2)
    metrics.add(*masks(0, 40))
    assert metrics.compute().cumulative_iou == pytest.approx(11 / 60)


def test_clipseg_adds_one_to_unions_which_bites_on_tiny_things() -> None:
    theirs, ours = FixedIntervalMetrics(), PhraseCutMetrics()
    tiny = masks(2)[0]
    theirs.add(tiny.astype(np.float32), tiny, 0)
    ours.add(tiny, tiny)
    assert ours.compute().mean_iou == 1
    assert theirs.compute().mean_iou_at(0.3) == pytest.approx(2 / (1 + 2))


def test_clipseg_counts_probabilities_above_a_threshold_not_at_it() -> None:
    metrics = FixedIntervalMetrics()
    at, truth = np.full((7, 9), np.float32(0.5)), np.ones((7, 9), np.bool_)
    metrics.add(at, truth, 0)
    found = metrics.compute()
    assert found.fg_iou_at(0.48) > 0.9
    assert found.fg_iou_at(0.5) == 0


def test_clipseg_squashes_corners_onto_corners() -> None:
    rgb = np.zeros((5, 8, 3), np.uint8)
    rgb[:, :, 0] = np.arange(8) * 30
    rgb[:, :, 1] = (np.arange(5) * 60)[:, None]
    small = squash(rgb)
    assert small.shape == (352, 352, 3)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        np.testing.assert_array_equal(small[corner], rgb[corner])
    assert small[0, 175, 0] == round(175 / 351 * 7 * 30)  # align_corners=True


def test_hsnet_sums_by_class_and_fb_iou_by_pixel() -> None:
    metrics = FewShotMetrics([3, 7])
    metrics.add(*masks(10, 20), 3)  # IoU 10/20
    metrics.add(*masks(0, 20), 3)  # together 10/40
    metrics.add(*masks(6, 6), 7)  # 6/6
    found = metrics.compute()
    assert found.mean_iou == pytest.approx((10 / 40 + 1) / 2)
    background = (43 + 43 + 57) / (53 + 63 + 57)
    assert found.fb_iou == pytest.approx((16 / 46 + background) / 2)


def test_fss_masks_begin_at_128(tmp_path: Path) -> None:
    published_trees.fss1000(tmp_path)
    data: Any = open_dataset("fss1000", "test", root=tmp_path)
    episode = data.episodes()[0]
    path = data.samples[episode.query].truth.path
    with Image.open(path) as file:
        height, width = file.height, file.width
    grey = np.full((height, width), 127, np.uint8)
    grey[0, :2] = 128
    Image.fromarray(np.repeat(grey[..., None], 3, 2)).save(path)
    mask, ignored = data.mask(episode.query, episode.class_id, (height, width))
    assert mask.sum() == 2
    assert not ignored.any()
