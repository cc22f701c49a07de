"""Masks of a mask model's own small grid, lifted to the picture, straight into crops.

Enlarging is linear and separable: along each axis it is one matrix from the grid to the pixels.
A mask touches few rows and columns of the picture, so each crop is two small products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.protocols import Frame, RawMasks
from lexiseg.stages.resample import bilinear_matrix

__all__ = ["Lifted", "axes", "lift", "lift_one"]

_BAND = 1 << 22  # pixels whose values are held at once


@dataclass(frozen=True, eq=False)
class Lifted:
    """A mask at the picture's size. corner_xy: of its crop, which may be looser than the mask.

    counts: how many pixels of the picture pass each of the further thresholds.
    """

    corner_xy: tuple[int, int]
    crop: NDArray[np.bool_]
    counts: tuple[int, ...]


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
    device = raw.logits.device
    vertical, level = (m.to(device) for m in axes(raw.logits.shape[1:], raw.frame))  # type: ignore[arg-type]
    found = [lift_one(logits, vertical, level, threshold) for logits in raw.logits.float()]
    corners = np.array([one.corner_xy for one in found], np.int64).reshape(-1, 2)
    return Masks.from_crops(raw.frame.size_hw, corners, [one.crop for one in found])


def lift_one(
    logits: Tensor,
    vertical: Tensor,
    level: Tensor,
    threshold: float = 0.0,
    counted: tuple[float, ...] = (),
) -> Lifted:
    """Lift one mask, (h, w) float32, with the matrices of ``axes``.

    counted: further thresholds; of each, how many pixels of the picture pass it.
    """
    inside = logits > min((threshold, *counted))
    rows, columns = _reached(vertical, inside.any(1)), _reached(level, inside.any(0))
    ys, xs = _used(vertical[rows]), _used(level[columns])
    across = logits[ys, xs] @ level[columns, xs].T
    width = columns.stop - columns.start
    step = max(1, _BAND // max(1, width))
    crops, counts = [], torch.zeros(len(counted), dtype=torch.int64, device=logits.device)
    for start in range(rows.start, rows.stop, step):
        values = vertical[start : min(start + step, rows.stop), ys] @ across
        crops.append((values > threshold).cpu().numpy())
        for i, other in enumerate(counted):
            counts[i] += (values > other).sum()
    crop = np.concatenate(crops) if crops else np.zeros((0, width), np.bool_)
    return Lifted((columns.start, rows.start), crop, tuple(counts.tolist()))


def _reached(matrix: Tensor, cells: Tensor) -> slice:
    """The pixels that any of these cells has weight in: bilinear values pass no threshold that
    none of their cells passes."""
    return _span((matrix[:, cells] > 0).any(1))


def _used(matrix: Tensor) -> slice:
    return _span((matrix > 0).any(0))


def _span(which: Tensor) -> slice:
    places = torch.nonzero(which)[:, 0]
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
