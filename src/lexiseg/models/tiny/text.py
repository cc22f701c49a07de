"""Words to vectors: the text tower of the bundled model.

A two-layer transformer over word pieces, distilled from a sentence encoder (MiniLM) over WordNet's
nouns, so that words that mean the same land near each other whether or not a picture ever showed
them. A linear projection, trained together with the picture side, turns the meaning into the
space of the dense features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TextConfig", "TextTower", "pack", "tokenise", "unpack"]


@dataclass(frozen=True)
class TextConfig:
    """Sizes of the tower; stored beside the weights. Training sets the vocabulary's size."""

    vocab_size: int = 33_000
    token_dim: int = 192
    dim: int = 256
    layers: int = 2
    heads: int = 4
    mlp: int = 768
    max_tokens: int = 24
    out_dim: int = 384


class _Layer(nn.Module):
    """A pre-norm transformer layer; padding is kept out by the mask."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.dim)
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.norm2 = nn.LayerNorm(config.dim)
        self.up = nn.Linear(config.dim, config.mlp)
        self.down = nn.Linear(config.mlp, config.dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        b, n, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = x + self.out(a.transpose(1, 2).reshape(b, n, d))
        out: Tensor = x + self.down(F.gelu(self.up(self.norm2(x))))
        return out


class TextTower(nn.Module):
    """Token ids (K, T) and their mask -> meanings (K, 384), unit length."""

    def __init__(self, config: TextConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TextConfig()
        self.tokens = nn.Embedding(config.vocab_size, config.token_dim)
        self.widen = nn.Linear(config.token_dim, config.dim)
        self.positions = nn.Parameter(torch.zeros(config.max_tokens, config.dim))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.out = nn.Linear(config.dim, config.out_dim)
        # A bag of words beside the transformer: rare words say most by themselves.
        self.direct = nn.Linear(config.token_dim, config.out_dim, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.05)
        nn.init.normal_(self.positions, std=0.02)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        tokens = self.tokens(ids)
        x = self.widen(tokens) + self.positions[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, mask)
        weight = mask[..., None].to(x.dtype)
        count = weight.sum(1)
        mean = (self.norm(x) * weight).sum(1) / count
        bag = (tokens * weight).sum(1) / count
        return F.normalize(self.out(mean) + self.direct(bag), dim=-1)


def tokenise(
    tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int = 24
) -> tuple[Tensor, Tensor]:
    """Texts -> ids (K, T) int64 and mask (K, T) bool; a text longer than ``max_tokens`` is cut."""
    rows = [e.ids[:max_tokens] or [0] for e in tokenizer.encode_batch([t.lower() for t in texts])]
    length = max(map(len, rows))
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = True
    return ids, mask


def pack(tower: TextTower) -> dict[str, Tensor]:
    """The tower as it is stored: fp16, and the tokens, which are most of it, in 8 bits.

    A token's largest value is 127; its scale stands beside it.
    """
    stored = {k: v.detach().half().contiguous() for k, v in tower.state_dict().items()}
    tokens = tower.tokens.weight.detach()
    scale = (tokens.abs().amax(1, keepdim=True) / 127).clamp_min(1e-7).half()
    stored["tokens.weight"] = (tokens / scale.float()).round().clamp(-127, 127).to(torch.int8)
    stored["tokens.scale"] = scale
    return stored


def unpack(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """What ``pack`` made -> a state dict, float32. Plain fp16 weights are taken as they are."""
    weights = {k: v.float() for k, v in stored.items()}
    if "tokens.scale" in weights:
        weights["tokens.weight"] *= weights.pop("tokens.scale")
    return weights
