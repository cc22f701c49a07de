"""Trident (Shi et al. 2024, arXiv 2411.09219): splice windows, then share over the whole picture.

Windows are read out as ProxyCLIP does and spliced into one map; then SAM's last attention, which
saw the whole picture at once, gathers for each place from where it looks. Follows the code at
commit a93b346.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.protocols import LastBlock, WholeAttention
from lexiseg.stages.proxy import proxied

__all__ = ["gather", "spliced"]

Box = tuple[int, int, int, int]


def spliced(
    block: LastBlock, cells: Tensor, places: Sequence[Box], size_hw: tuple[int, int],
    beta: float, gamma: float,
) -> Tensor:  # fmt: skip
    """Windows' values on one grid, (W, H, W'): ProxyCLIP's, averaged where windows overlap.

    cells: the proxy's features of the windows, (B, h, w, C). places: of each window, in CLIP's
    cells of the whole picture: y0, x0, y1, x1. size_hw: of the whole picture, in CLIP's cells.
    """
    values = proxied(block, cells, beta, gamma, joint=True)
    b, _, width = values.shape
    h, w = cells.shape[1:3]
    plane = values.mT.reshape(b, width, h, w).float()
    rows, columns = block.grid_hw
    if w % columns:
        ratio = round(h / rows)
        plane = F.interpolate(
            plane, size=(rows * ratio, columns * ratio), mode="bilinear", align_corners=False
        )
    else:
        ratio = w // columns
    total = plane.new_zeros(width, size_hw[0] * ratio, size_hw[1] * ratio)
    count = torch.zeros_like(total[:1])
    for part, (y0, x0, y1, x1) in zip(plane, places, strict=True):
        here = (slice(y0 * ratio, y1 * ratio), slice(x0 * ratio, x1 * ratio))
        total[:, *here] += part
        count[:, *here] += 1
    return total / count


def gather(values: Tensor, whole: WholeAttention, factor: float, *, keep_negative: bool) -> Tensor:
    """Each place's mean of where SAM looks from it, (h * w, W): weights @ values.

    values: (W, H, W'), brought to SAM's grid. A head's attention counts where the cosine of its
    values passes t = factor * mean cosine over heads and keys, at most 0.9; rows sum to 1.
    keep_negative: a t below 0 stays as it is, else it is 0.6 (``refine_neg_cos``).
    """
    h, w = whole.grid_hw
    plane = F.interpolate(values[None], size=(h, w), mode="bilinear", align_corners=False)[0]
    units = F.normalize(whole.v, dim=-1)
    mean = torch.stack([unit @ unit.sum(0) for unit in units]).mean(0) / (h * w)
    limit = factor * mean
    if not keep_negative:
        limit = torch.where(limit < 0, 0.6, limit)
    limit = limit.clamp(max=0.9)[:, None]
    total = torch.zeros(h * w, h * w, device=units.device)
    for head, unit in enumerate(units):  # one head at a time: a map has 16 million values
        total += whole.attention(head).masked_fill(unit @ unit.T <= limit, 0.0)
    return total @ plane.flatten(1).mT.to(total) / total.sum(1, keepdim=True)
