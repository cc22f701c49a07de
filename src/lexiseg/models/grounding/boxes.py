"""Boxes as detectors give them, in pixels of the picture."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["in_pixels"]


def in_pixels(
    boxes_cxcywh: Tensor, reach_hw: tuple[float, float], size_hw: tuple[int, int]
) -> Tensor:
    """Centre, width and height in parts of ``reach_hw`` -> corners (N, 4) inside the picture.

    boxes_cxcywh: (N, 4) in [0, 1]. reach_hw: pixels of the picture that 1 stands for; more than
    the picture has, where it was padded.
    """
    cx, cy, w, h = boxes_cxcywh.float().unbind(-1)
    height, width = reach_hw
    x = torch.stack([cx - w / 2, cx + w / 2], -1) * width
    y = torch.stack([cy - h / 2, cy + h / 2], -1) * height
    x, y = x.clamp(0, size_hw[1]), y.clamp(0, size_hw[0])
    return torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], -1)
