"""Masks of a mask model's own small grid, lifted to the picture, straight into crops.

Enlarging is linear and separable: along each axis it is one matrix from the grid to the pixels.
A mask touches few rows and columns of the picture, so each crop is two small products.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.protocols import Frame, RawMasks
from lexiseg.stages.resample import bilinear_matrix

__all__ = ["axes", "lift"]


def axes(grid_hw: tuple[int, int], frame: Frame) -> tuple[Tensor, Tensor]:
    """The matrices from a grid to the picture: (H, h) and (W, w) float32.

    As the SAM code does it: to the padded input, cut to the input, to the picture; bilinear,
    corners not aligned.
    """
    made = []
    for cells, padded, given, size in zip(
        grid_hw, frame.padded_hw, frame.input_hw, frame.size_hw, strict=True
    ):
        made.append((bilinear_matrix(given, size) @ bilinear_matrix(cells, padded)[:given]).float())
    return made[0], made[1]


def lift(raw: RawMasks, threshold: float = 0.0) -> Masks:
    """Return the masks at the picture's size: where the enlarged logits pass ``threshold``."""
    vertical, level = (m.to(raw.logits.device) for m in axes(raw.logits.shape[1:], raw.frame))  # type: ignore[arg-type]
    corners, crops = [], []
    for logits in raw.logits.float():
        inside = logits > threshold
        rows = _reached(vertical, inside.any(1))
        columns = _reached(level, inside.any(0))
        ys, xs = _used(vertical[rows]), _used(level[columns])
        values = vertical[rows, ys] @ logits[ys, xs] @ level[columns, xs].T
        corners.append((columns.start, rows.start))
        crops.append((values > threshold).cpu().numpy())
    return Masks.from_crops(raw.frame.size_hw, np.array(corners, np.int64).reshape(-1, 2), crops)


def _reached(matrix: Tensor, cells: Tensor) -> slice:
    """The pixels that any of these cells has weight in: bilinear values pass no threshold that
    none of their cells passes."""
    return _span((matrix[:, cells] > 0).any(1))


def _used(matrix: Tensor) -> slice:
    return _span((matrix > 0).any(0))


def _span(which: Tensor) -> slice:
    places = torch.nonzero(which)[:, 0]
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
