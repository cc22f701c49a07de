"""Ways to read out the last attention of CLIP, so that a cell speaks of its own place.

Each takes an opened last block and returns its tokens, (B, T, W), for ``block.finish``. In the
formulas q, k and v are those of ``ln_1(x)``, d is the width of a head, and

    attend(a, b, v) = softmax(a bᵀ / √d) v        for each head
    project         = the output projection of the attention
    complete(y)     = x + y, and then + mlp(ln_2(.)): what the block was trained to do afterwards

Several layers can be one set of features: each layer's cells go through the last norm and
projection, as the last layer's do (which that was trained for; of earlier ones it is an
approximation), and the weighted mean of the unit vectors, made a unit vector again, is the feature
of the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.errors import OptionError, UnknownName

if TYPE_CHECKING:
    from lexiseg.protocols import LastBlock

__all__ = [
    "READOUTS",
    "attend",
    "clearclip",
    "combined",
    "kept_for",
    "layered",
    "maskclip",
    "naclip",
    "nearness",
    "readout",
    "sclip",
    "vanilla",
]


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
    horizontal = (columns[:, None] - columns).square()[None, :, None, :]
    near = torch.exp(-(vertical + horizontal) / (2 * std**2)).reshape(h * w, h * w)
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


def kept_for(layers: Sequence[int]) -> tuple[int, ...]:
    """Return what ``AttentionEncoder.trunk`` must keep (blocks from 0) of layers counted from 1.

    Raises OptionError for layers below 1 and for one that is named twice.
    """
    if any(layer < 1 for layer in layers) or len(set(layers)) != len(layers):
        raise OptionError(f"the layers are {tuple(layers)}; count from 1, and name each once")
    return tuple(layer - 1 for layer in layers)


def layered(block: LastBlock, read: Callable[[LastBlock], Tensor], layers: Sequence[int]) -> Tensor:
    """Return the features of each layer, (B, L, h, w, D), unit length, in the order of ``layers``.

    block: of a trunk that kept ``kept_for(layers)``. read: how the last layer is read out
    (``stages.attention``), if it is among them. layers: from 1; the last is block.index + 1.
    Raises OptionError for a layer that the encoder does not have.
    """
    out = []
    for layer, index in zip(layers, kept_for(layers), strict=True):
        if index > block.index:
            raise OptionError(f"there is no layer {layer}: the encoder has 1 to {block.index + 1}")
        out.append(block.finish(read(block) if index == block.index else block.kept[index]))
    if not out:
        raise OptionError("no layers are given; give numbers from 1")
    return torch.stack(out, dim=1)


def combined(features: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """Return the weighted mean over layers, (B, L, h, w, D) -> (B, h, w, D), unit length.

    weights: L numbers of 0 or more, relative to each other; None: all alike.
    Raises OptionError for other ones.
    """
    count = features.shape[1]
    if weights is None:
        return F.normalize(features.mean(1), dim=-1)
    if len(weights) != count or min(weights) < 0 or sum(weights) <= 0:
        raise OptionError(
            f"the weights of {count} layers are {tuple(weights)}; give as many numbers of 0 or more"
        )
    parts = torch.tensor(weights, dtype=features.dtype, device=features.device)
    return F.normalize(torch.einsum("blhwd,l->bhwd", features, parts / parts.sum()), dim=-1)
