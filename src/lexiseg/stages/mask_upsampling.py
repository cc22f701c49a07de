"""Masks of a mask model's own small grid, lifted to the picture, straight into crops.

Enlarging is linear and separable: along each axis it is one matrix from the grid to the pixels.
A mask touches few rows and columns of the picture, so each crop is two small products; of large
ones, only what lies near an outline is computed: between places above the threshold nothing falls
below it.
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

__all__ = ["UpsampledMask", "axes", "upsample_mask", "upsample_masks"]

_SMALL = 1 << 20  # pixels of a crop that is not worth looking at twice
_ROWS = 16  # of a larger one, looked at together at least


@dataclass(frozen=True, eq=False)
class UpsampledMask:
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


def upsample_masks(raw: RawMasks, threshold: float = 0.0) -> Masks:
    """Return the masks at the picture's size: where the enlarged logits pass ``threshold``."""
    device = raw.logits.device
    vertical, level = (m.to(device) for m in axes(raw.logits.shape[1:], raw.frame))  # type: ignore[arg-type]
    found = []
    for logits in raw.logits.float():  # one after the other: eight pixels a byte as soon as made
        one = upsample_mask(logits, vertical, level, threshold)
        found.append(Masks.from_crops(raw.frame.size_hw, [one.corner_xy], [one.crop]))
    return Masks.concat(found) if found else Masks.empty(raw.frame.size_hw)


def upsample_mask(
    logits: Tensor,
    vertical: Tensor,
    level: Tensor,
    threshold: float = 0.0,
    counted: tuple[float, ...] = (),
) -> UpsampledMask:
    """Lift one mask, (h, w) float32, with the matrices of ``axes``.

    counted: further thresholds; of each, how many pixels of the picture pass it.
    """
    inside = logits > min((threshold, *counted))
    rows, columns = _reached(vertical, inside.any(1)), _reached(level, inside.any(0))
    ys, xs = _used(vertical[rows]), _used(level[columns])
    across = logits[ys, xs] @ level[columns, xs].T
    width = columns.stop - columns.start
    step = rows.stop - rows.start
    if step * width > _SMALL:  # half a cell at once: most columns are alike from top to bottom
        step = max(_ROWS, len(vertical) // (2 * len(logits)))
    crop = np.zeros((rows.stop - rows.start, width), np.bool_)
    limits = (threshold, *counted)
    counts = [0] * len(counted)
    for start in range(rows.start, rows.stop, max(1, step)):
        band = slice(start, min(start + step, rows.stop))
        near = across[_used(vertical[band, ys])]
        least, most = near.amin(0), near.amax(0)  # rows of the matrix are means
        open_ = torch.stack([(least <= t) & (most > t) for t in limits]).any(0)
        shut = ~open_
        columns_open = open_.nonzero()[:, 0]
        values = vertical[band, ys] @ across[:, columns_open]
        part = crop[start - rows.start : band.stop - rows.start]
        part[:] = ((least > threshold) & shut).cpu().numpy()
        part[:, columns_open.cpu().numpy()] = (values > threshold).cpu().numpy()
        for i, other in enumerate(counted):
            alike = int(((least > other) & shut).sum()) * (band.stop - band.start)
            counts[i] += alike + int((values > other).sum())
    return UpsampledMask((columns.start, rows.start), crop, tuple(counts))


def _reached(matrix: Tensor, cells: Tensor) -> slice:
    """The pixels that any of these cells has weight in: bilinear values pass no threshold that
    none of their cells passes."""
    return _span((matrix[:, cells] > 0).any(1))


def _used(matrix: Tensor) -> slice:
    return _span((matrix > 0).any(0))


def _span(which: Tensor) -> slice:
    places = torch.nonzero(which)[:, 0]
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
