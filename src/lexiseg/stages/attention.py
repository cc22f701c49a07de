"""Ways to read out the last attention of CLIP, so that a cell speaks of its own place.

Each takes an opened last block and returns its tokens, (B, T, W), for ``block.finish``. In the
formulas q, k and v are those of ``ln_1(x)``, d is the width of a head, and

    attend(a, b, v) = softmax(a bᵀ / √d) v        for each head
    project         = the output projection of the attention
    complete(y)     = x + y, and then + mlp(ln_2(.)): what the block was trained to do afterwards
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.errors import UnknownName

if TYPE_CHECKING:
    from lexiseg.protocols import LastBlock

__all__ = [
    "READOUTS", "attend", "clearclip", "maskclip", "naclip", "nearness", "readout", "sclip",
    "vanilla",
]  # fmt: skip


def attend(a: Tensor, b: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(a bᵀ / √d + bias) v, of (B, heads, T, d); bias: (T, T), the same for all."""
    if bias is not None:
        bias = bias.to(a)
    return F.scaled_dot_product_attention(a, b, v, attn_mask=bias)


def vanilla(block: LastBlock) -> Tensor:
    """CLIP's own: complete(project(attend(q, k, v)))."""
    return block.complete(block.project(attend(block.q, block.k, block.v)))


def maskclip(block: LastBlock) -> Tensor:
    """MaskCLIP (Zhou et al. 2022, arXiv 2112.01071): project(v), every cell by itself."""
    return block.project(block.v)


def sclip(block: LastBlock) -> Tensor:
    """SCLIP (Wang et al. 2023, arXiv 2312.01597), correlative self-attention:

    complete(project(attend(q, q, v) + attend(k, k, v))). The two are summed, not averaged: rows
    of weights sum to 2.
    """
    q, k, v = block.q, block.k, block.v
    return block.complete(block.project(attend(q, q, v) + attend(k, k, v)))


def clearclip(block: LastBlock) -> Tensor:
    """ClearCLIP (Lan et al. 2024, arXiv 2407.12442): project(attend(q, q, v)).

    Neither residual connection nor MLP: both carry what is said about the whole picture.
    """
    return block.project(attend(block.q, block.q, block.v))


def naclip(block: LastBlock) -> Tensor:
    """NACLIP (Hajimiri et al. 2024, arXiv 2404.08181): project(attend(k, k, v)), near cells first.

    ``nearness`` is added before the softmax; no residual connection, no MLP.
    """
    near = nearness(block.grid_hw).to(block.k.device)
    return block.project(attend(block.k, block.k, block.v, near))


def nearness(grid_hw: tuple[int, int], std: float = 5.0) -> Tensor:
    """How near cells are, (T, T) in [0, 1]: exp(-distance² / (2 std²)), distances in cells.

    The first token, which has no place, is as far from all as can be: 0, also from itself.
    """
    h, w = grid_hw
    rows, columns = (torch.arange(n, dtype=torch.float32) for n in grid_hw)
    vertical = (rows[:, None] - rows).square()[:, None, :, None]
    level = (columns[:, None] - columns).square()[None, :, None, :]
    near = torch.exp(-(vertical + level) / (2 * std**2)).reshape(h * w, h * w)
    return F.pad(near, (1, 0, 1, 0))


READOUTS: dict[str, Callable[[LastBlock], Tensor]] = {
    "clearclip": clearclip,
    "maskclip": maskclip,
    "naclip": naclip,
    "sclip": sclip,
    "vanilla": vanilla,
}


def readout(name: str) -> Callable[[LastBlock], Tensor]:
    """Return the readout of a name; raises UnknownName."""
    if name not in READOUTS:
        raise UnknownName.among("readout", name, READOUTS)
    return READOUTS[name]
