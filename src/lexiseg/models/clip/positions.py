"""Position embeddings for grids of any size.

Two ways are in use, and they differ by up to 0.02: "size" asks the interpolation for the new grid
(transformers, OpenCLIP); "scale" gives it the ratio of the grids with 0.1 added to the new one, as
DINO, and after it SCLIP and its successors, did against rounding. Features only agree with those
of a published implementation when resized its way.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.errors import UnknownName

__all__ = ["WAYS", "resized"]

WAYS = ("scale", "size")


def resized(positions: Tensor, grid_hw: tuple[int, int], way: str) -> Tensor:
    """Positions (1 + n * n, W), the class token's first -> (1 + h * w, W), bicubic.

    way: "scale" or "size", see above; a grid of the trained size is returned as it is.
    """
    if way not in WAYS:
        raise UnknownName.among("way to resize positions", way, WAYS)
    side = math.isqrt(positions.shape[0] - 1)
    if grid_hw == (side, side):
        return positions
    first, rest = positions[:1], positions[1:]
    plane = rest.T.reshape(1, -1, side, side).float()
    if way == "size":
        plane = F.interpolate(plane, size=grid_hw, mode="bicubic")
    else:
        ratio = ((grid_hw[0] + 0.1) / side, (grid_hw[1] + 0.1) / side)
        plane = F.interpolate(plane, scale_factor=ratio, mode="bicubic")
    return torch.cat([first, plane[0].flatten(1).T.to(first.dtype)])
