"""What a coarser look at a larger part of a picture says of a part, mixed into the part's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["with_surroundings"]

Raster = tuple[tuple[int, int], int]  # the size that cells count pixels of, pixels a cell


def with_surroundings(
    own: Tensor,
    raster: Raster,
    larger: Tensor,
    larger_raster: Raster,
    box_xyxy: Sequence[float],
    weight: float = 0.5,
) -> Tensor:
    """Return the class probabilities of a part, (C, h, w), mixed with those of a larger part.

    own, larger: (C, h, w) and (C, h', w'). raster, larger_raster: of their grids, which may reach
    over the pictures. box_xyxy: where the part lies in the larger one, as shares of its sides, in
    [0, 1]. weight: of what the larger part says, in [0, 1].
    """
    places = []
    for axis, (cells, size, low, high) in enumerate(
        zip(own.shape[1:], raster[0], box_xyxy[1::-1], box_xyxy[:1:-1], strict=True)
    ):
        centres = (torch.arange(cells, device=own.device, dtype=torch.float32) + 0.5) * raster[1]
        share = low + (centres / size).clamp(0, 1) * (high - low)
        length = larger.shape[1 + axis] * larger_raster[1]
        places.append(2 * share * larger_raster[0][axis] / length - 1)
    y, x = torch.meshgrid(*places, indexing="ij")
    there = F.grid_sample(
        larger.float()[None], torch.stack([x, y], -1)[None], mode="bilinear",
        padding_mode="border", align_corners=False,
    )[0]  # fmt: skip
    return (1 - weight) * own + weight * there.to(own.dtype)
