"""What CLIP's towers share: the transformer block, and position embeddings for grids of any size.

The block has OpenAI's names for its weights.

The stream of tokens and the norms stay in float32 whatever the weights' format: only the products,
where the time goes, are computed in bf16 or fp16.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.errors import UnknownName

__all__ = ["Attention", "Block", "Mlp", "resize_positions"]

# OpenAI's approximation of GELU is x * sigmoid(1.702 x); weights trained with it need it.
_QUICK = 1.702
_WAYS = ("scale", "size")  # to resize position embeddings


class Attention(nn.Module):
    """Multi-head attention in its parts: q, k, v of tokens, and the projection afterwards."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, T, W) -> q, k, v, each (B, heads, T, W / heads)."""
        b, t, w = x.shape
        joined = F.linear(x.to(self.in_proj_weight.dtype), self.in_proj_weight, self.in_proj_bias)
        q, k, v = joined.view(b, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        return q, k, v

    def project(self, values: Tensor) -> Tensor:
        """Values (B, heads, T, W / heads) -> (B, T, W)."""
        b, heads, t, d = values.shape
        out: Tensor = self.out_proj(values.transpose(1, 2).reshape(b, t, heads * d))
        return out


class Mlp(nn.Module):
    """Two linear layers with the activation of the checkpoint's record between them."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, hidden)
        self.c_proj = nn.Linear(hidden, width)
        self._quick = {"gelu": False, "quick-gelu": True}[activation]

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.c_fc.weight.dtype)
        if not self._quick:
            plain: Tensor = self.c_proj(F.gelu(self.c_fc(x)))
            return plain
        # x * sigmoid(1.702 x) is silu(1.702 x) / 1.702: the products scale at no cost, and the
        # hidden values, the largest of all, are read and written once.
        up, down = self.c_fc, self.c_proj
        rows = x.flatten(0, -2)
        hidden = torch.addmm(up.bias, rows, up.weight.T, beta=_QUICK, alpha=_QUICK)
        out = torch.addmm(down.bias, F.silu(hidden, True), down.weight.T, alpha=1 / _QUICK)
        return out.view(*x.shape[:-1], -1)


class Block(nn.Module):
    """A pre-norm block: attention, then MLP, each added to the float32 stream."""

    def __init__(self, width: int, heads: int, mlp: int, activation: str) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, mlp, activation)

    def forward(self, x: Tensor, *, causal: bool = False) -> Tensor:
        """Tokens (B, T, W) float32 -> the same; causal: a token sees none after it."""
        q, k, v = self.attn.qkv(self.ln_1(x))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.complete(x, self.attn.project(attended))

    def complete(self, x: Tensor, attended: Tensor) -> Tensor:
        """What follows the attention: ``x = x + attended``, then ``x + mlp(ln_2(x))``."""
        x = x + attended
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


def resize_positions(positions: Tensor, grid_hw: tuple[int, int], way: str) -> Tensor:
    """Positions (1 + n * n, W), the class token's first -> (1 + h * w, W), bicubic.

    way: "scale" or "size". Two are in use, and they differ by up to 0.02: "size" asks the
    interpolation for the new grid (transformers, OpenCLIP); "scale" gives it the ratio of the grids
    with 0.1 added to the new one, as DINO, and after it SCLIP and its successors, did against
    rounding. Features only agree with those of a published implementation when resized its way. A
    grid of the trained size is returned as it is.
    """
    if way not in _WAYS:
        raise UnknownName.among("way to resize positions", way, _WAYS)
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
