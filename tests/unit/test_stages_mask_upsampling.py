"""Masks lifted into crops are those of the obvious way: enlarge everything, cut, compare."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lexiseg.protocols import Frame, RawMasks
from lexiseg.stages.mask_upsampling import upsample_masks


def _obvious(raw: RawMasks) -> torch.Tensor:
    frame = raw.frame
    grown = F.interpolate(raw.logits[None].double(), frame.padded_hw, mode="bilinear")
    grown = grown[..., : frame.input_hw[0], : frame.input_hw[1]]
    return F.interpolate(grown, frame.size_hw, mode="bilinear")[0] > 0


@pytest.mark.parametrize(
    "frame",
    [
        Frame((75, 113), (85, 128), (128, 128)),
        Frame((301, 200), (32, 32), (32, 32)),
        Frame((9, 14), (82, 128), (128, 128)),
        Frame((1, 40), (3, 128), (128, 128)),
    ],
)
def test_crops_equal_what_enlarging_everything_gives(frame: Frame) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 8, 8, generator=generator)
    logits = F.interpolate(logits[None], (32, 32), mode="bicubic")[0]
    logits[4] = -1.0  # nothing
    logits[5] = 1.0  # everything
    raw = RawMasks(logits, torch.ones(6), torch.arange(6), frame)
    masks = upsample_masks(raw)
    assert masks.size_hw == frame.size_hw
    wanted = _obvious(raw).numpy()
    differ = np.mean(masks.dense() != wanted)
    assert differ <= 1e-4, f"{differ:.2%} of the pixels differ"
    assert masks.areas[4] == 0
    assert masks.areas[5] == frame.size_hw[0] * frame.size_hw[1]
