"""CLIP's text tower. A token sees none after it, so nothing after the end token is computed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lexiseg.models.clip.blocks import Block
from lexiseg.models.clip.config import TextConfig

__all__ = ["TextTower"]


class TextTower(nn.Module):
    """Tokens -> vectors in the space of the pictures; its weights lie beside ``visual.``."""

    def __init__(self, config: TextConfig, activation: str) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.token_embedding = nn.Embedding(config.vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.empty(config.context, width))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(
            Block(width, config.heads, config.mlp, activation) for _ in range(config.layers)
        )
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, config.embed_dim))

    def hidden(self, ids: Tensor) -> list[Tensor]:
        """Tokens (K, T) -> the embeddings, and the tokens after each block, (K, T, W)."""
        x = self.token_embedding(ids).float() + self.positional_embedding[: ids.shape[1]]
        out = [x]
        for block in self.transformer.resblocks:  # type: ignore[union-attr]
            out.append(block(out[-1], causal=True))
        return out

    def forward(self, ids: Tensor, ends: Tensor) -> Tensor:
        """Tokens (K, T), and where the end token of each is, (K,) -> (K, D), not normalised.

        T may be as short as the longest text; what stands after an end token does not matter.
        """
        x = self.hidden(ids)[-1]
        x = self.ln_final(x[torch.arange(len(x), device=x.device), ends])
        return torch.matmul(x.to(self.text_projection.dtype), self.text_projection).float()
