"""The transformer block that CLIP's towers share, with OpenAI's names for its weights.

The stream of tokens and the norms stay in float32 whatever the weights' format: only the products,
where the time goes, are computed in bf16 or fp16.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "Attention", "Block", "Mlp"]


def _quick_gelu(x: Tensor) -> Tensor:
    """OpenAI's approximation, which weights trained with it need; GELU gives other features.

    In place: it is only ever applied to a fresh output of a linear layer, the largest of all.
    """
    return x.mul_((1.702 * x).sigmoid_())


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "quick-gelu": _quick_gelu}


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
        self._activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        hidden = self._activation(self.c_fc(x.to(self.c_fc.weight.dtype)))
        out: Tensor = self.c_proj(hidden)
        return out


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
