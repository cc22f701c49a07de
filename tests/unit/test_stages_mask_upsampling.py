"""Masks enlarged into crops are those of the obvious way: enlarge everything, cut, compare."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.device_double import GPU, DeviceDouble
from torch import Tensor

from lexiseg.protocols import Frame, RawMasks
from lexiseg.stages.mask_upsampling import MaskUpsampler, upsample_masks

GRID = (32, 40)
FRAMES = [
    Frame((75, 113), (85, 128), (128, 128)),
    Frame((93, 140), (85, 128), (128, 128)),
    Frame((301, 200), (32, 40), (32, 40)),
    Frame((301, 203), (48, 32), (48, 48)),
    Frame((9, 14), (82, 128), (128, 128)),  # smaller than the grid: cells may have no pixel
    Frame((300, 21), (60, 40), (64, 64)),  # larger along one axis, smaller along the other
    Frame((1, 40), (3, 128), (128, 128)),
    Frame((64, 1), (128, 3), (128, 128)),
    Frame((1, 1), (64, 64), (64, 64)),
]


def logits() -> Tensor:
    """Smooth and rough masks, some of a few cells, one of all cells and one of none: (47, h, w)."""
    rng = np.random.default_rng(0)
    maps = []
    for i in range(45):
        noise = rng.normal(size=GRID).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), (0.4, 1.0, 3.0)[i % 3])
        maps.append(noise / noise.std() - (0, 1.5, 2.8)[i // 3 % 3])
    return torch.from_numpy(np.array([*maps, np.full(GRID, -1), np.full(GRID, 1)], np.float32))


def obvious(values: Tensor, frame: Frame) -> Tensor:
    """All pixels of all masks, (N, H, W) float64."""
    grown = F.interpolate(values[None].double(), frame.padded_hw, mode="bilinear")
    grown = grown[..., : frame.input_hw[0], : frame.input_hw[1]]
    return F.interpolate(grown, frame.size_hw, mode="bilinear")[0]


def raw_of(values: Tensor, frame: Frame) -> RawMasks:
    return RawMasks(values, torch.ones(len(values)), torch.arange(len(values)), frame)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: "x".join(map(str, frame.size_hw)))
def test_crops_equal_what_enlarging_everything_gives(frame: Frame) -> None:
    grown = obvious(logits(), frame)
    for threshold in (0.0, 0.5):
        masks = upsample_masks(raw_of(logits(), frame), threshold)
        assert masks.size_hw == frame.size_hw
        wrong = torch.from_numpy(masks.dense()) != (grown > threshold)
        assert (grown[wrong] - threshold).abs().max().item() < 1e-5 if wrong.any() else True
        assert masks.areas[-2] == 0
        assert masks.areas[-1] == (0 if threshold > 1 else frame.size_hw[0] * frame.size_hw[1])


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: "x".join(map(str, frame.size_hw)))
def test_pixels_that_pass_further_thresholds_are_counted(frame: Frame) -> None:
    grown = obvious(logits(), frame)
    masks, counts = MaskUpsampler(GRID, frame).upsample(logits(), 0.0, (1.0, -1.0))
    for column, threshold in enumerate((1.0, -1.0)):
        near = ((grown - threshold).abs() < 1e-5).flatten(1).sum(1).numpy()
        want = (grown > threshold).flatten(1).sum(1).numpy()
        assert (np.abs(counts[:, column] - want) <= near).all()
    assert (counts[:-1, 0] <= masks.areas[:-1]).all()
    assert (masks.areas[:-2] <= counts[:-2, 1]).all()


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: "x".join(map(str, frame.size_hw)))
def test_boxes_are_those_of_enlarged_masks(frame: Frame) -> None:
    upsampler = MaskUpsampler(GRID, frame)
    for threshold in (0.0, 0.5):
        got = upsampler.boxes(logits(), threshold)
        want = upsampler.upsample(logits(), threshold)[0].boxes_xyxy
        np.testing.assert_array_equal(got, want)
    assert got[-1].tolist() == [0, 0, frame.size_hw[1], frame.size_hw[0]]
    assert got[-2].tolist() == [0, 0, 0, 0]


def test_cells_of_padding_are_known() -> None:
    assert MaskUpsampler((32, 32), Frame((75, 113), (64, 128), (128, 128))).used_hw == (17, 32)
    assert MaskUpsampler((32, 40), Frame((75, 113), (32, 40), (32, 40))).used_hw == (32, 40)


def test_no_masks() -> None:
    frame = FRAMES[0]
    masks, counts = MaskUpsampler(GRID, frame).upsample(torch.zeros(0, *GRID), 0.0, (1.0,))
    assert (len(masks), counts.shape, masks.size_hw) == (0, (0, 1), frame.size_hw)
    assert MaskUpsampler(GRID, frame).boxes(torch.zeros(0, *GRID)).shape == (0, 4)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: "x".join(map(str, frame.size_hw)))
def test_a_gpu_gives_the_same_in_two_transfers(frame: Frame) -> None:
    upsampler, grown = MaskUpsampler(GRID, frame), obvious(logits(), frame)
    here, counts = upsampler.upsample(logits(), 0.0, (1.0, -1.0))
    boxes = upsampler.boxes(logits())
    with DeviceDouble() as double:
        there = logits().to(GPU)
        with double.counting() as waits:
            masks, numbers = upsampler.upsample(there, 0.0, (1.0, -1.0))
        assert [wait.operation for wait in waits] == ["cpu", "cpu"]
        with double.counting() as waits:
            corners = upsampler.boxes(there)
        assert [wait.operation for wait in waits] == ["cpu"]
        none = upsampler.upsample(there[:0], 0.0, (1.0,))
        assert (len(none[0]), none[1].shape, upsampler.boxes(there[:0]).shape) == (
            0,
            (0, 1),
            (0, 4),
        )
    wrong = torch.from_numpy(masks.dense() != here.dense())
    assert (grown[wrong].abs() < 1e-5).all()
    assert np.abs(numbers - counts).max() <= 1 + ((grown.abs() - 1).abs() < 1e-5).sum()
    if not wrong.any():
        np.testing.assert_array_equal(corners, boxes)
        np.testing.assert_array_equal(corners, masks.boxes_xyxy)


def test_a_gpu_works_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = FRAMES[1]
    whole = upsample_masks(raw_of(logits(), frame))
    monkeypatch.setattr("lexiseg.stages.mask_upsampling._AT_ONCE", 5 * 93 * 140)
    with DeviceDouble():
        parts = upsample_masks(raw_of(logits().to(GPU), frame))
    assert (parts.dense() != whole.dense()).mean() < 1e-6
