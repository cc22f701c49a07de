"""Boxes of masks that were not enlarged are those of the enlarged ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from lexiseg.protocols import Frame, RawMasks
from lexiseg.stages.mask_upsampling import axes, upsample_masks
from lexiseg.stages.upsampled_boxes import UpsampledBoxes


@pytest.mark.parametrize(
    "frame",
    [
        Frame((93, 140), (85, 128), (128, 128)),
        Frame((301, 200), (48, 32), (48, 48)),
        Frame((31, 20), (60, 40), (64, 64)),  # smaller than the grid: cells may have no pixel
        Frame((1, 40), (3, 128), (128, 128)),
    ],
)
def test_boxes_are_those_of_enlarged_masks(frame: Frame) -> None:
    rng = np.random.default_rng(0)
    maps = []
    for i in range(45):
        noise = rng.normal(size=(32, 40)).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), (0.4, 1.0, 3.0)[i % 3])
        maps.append(noise / noise.std() - (0, 1.5, 2.8)[i // 3 % 3])
    logits = np.array([*maps, np.full((32, 40), -1), np.full((32, 40), 1)], np.float32)
    vertical, level = axes((32, 40), frame)
    extents = UpsampledBoxes(vertical.numpy(), level.numpy())
    got = [extents.box(one) or (0, 0, 0, 0) for one in logits]
    count = len(logits)
    raw = RawMasks(torch.from_numpy(logits), torch.ones(count), torch.arange(count), frame)
    masks = upsample_masks(raw)
    assert np.array(got).tolist() == masks.boxes_xyxy.tolist()
    assert got[-1] == (0, 0, frame.size_hw[1], frame.size_hw[0])
    assert 2 < len(set(got)) <= count
    assert got[-2] == (0, 0, 0, 0)
    higher = [extents.box(one, 0.5) for one in logits[:-1]]
    assert higher == [extents.box(one - np.float32(0.5)) for one in logits[:-1]]
