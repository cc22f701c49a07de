"""CLIP's vision transformer, up to the last block, which is left open for other readouts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.models.clip.blocks import Block, resize_positions
from lexiseg.models.clip.config import VitConfig

__all__ = ["OpenVitBlock", "VisionTransformer"]


@dataclass(frozen=True, eq=False)
class OpenVitBlock:
    """The last block of a vision transformer, opened (protocol ``LastBlock``)."""

    tokens: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    grid_hw: tuple[int, int]
    kept: Mapping[int, Tensor]
    attention: Mapping[int, Tensor]
    net: VisionTransformer

    @property
    def index(self) -> int:
        return len(self.net.blocks) - 1

    def project(self, values: Tensor) -> Tensor:
        return self.net.last.attn.project(values)

    def complete(self, attended: Tensor) -> Tensor:
        return self.net.last.complete(self.tokens, attended)

    def finish(self, tokens: Tensor, grid_hw: tuple[int, int] | None = None) -> Tensor:
        h, w = grid_hw or self.grid_hw
        cells = tokens[:, 1:] if tokens.shape[1] == h * w + 1 else tokens
        vectors = F.normalize(self.net.joint(cells), dim=-1)
        return vectors.view(len(vectors), h, w, -1)


class VisionTransformer(nn.Module):
    """Normalised pixels (B, 3, H, W) of any size -> tokens; one class token, then the patches."""

    def __init__(self, config: VitConfig, activation: str) -> None:
        super().__init__()
        self.config = config
        width, side = config.width, config.image // config.patch
        self.conv1 = nn.Conv2d(3, width, config.patch, config.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(1 + side * side, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(
            Block(width, config.heads, config.mlp, activation) for _ in range(config.layers)
        )
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, config.embed_dim))

    @property
    def blocks(self) -> list[Block]:
        blocks: nn.ModuleList = self.transformer.resblocks  # type: ignore[assignment]
        return list(blocks)  # type: ignore[arg-type]

    @property
    def num_blocks(self) -> int:
        return len(self.blocks)

    @property
    def last(self) -> Block:
        return self.blocks[-1]

    def trunk(
        self,
        pixels: Tensor,
        positions: str,
        keep: Collection[int] = (),
        attention: Collection[int] = (),
    ) -> OpenVitBlock:
        """Run all blocks but the last, and open that one.

        pixels: (B, 3, H, W); what remains beyond whole patches, right and below, is not seen.
        positions: "scale" or "size" (``resize_positions``).
        keep: of which blocks, counted from 0, to keep the tokens after them; -1 keeps the tokens
        before block 0. attention: of which to keep the attention maps, (B, heads, T, T).
        """
        x, grid_hw = self.embed(pixels, positions)
        kept, maps = {}, {}
        if -1 in keep:
            kept[-1] = x
        for i, block in enumerate(self.blocks[:-1]):
            if i in attention:
                q, k, _ = block.attn.qkv(block.ln_1(x))
                maps[i] = (q @ k.mT * q.shape[-1] ** -0.5).float().softmax(-1)
            x = block(x)
            if i in keep:
                kept[i] = x
        q, k, v = self.last.attn.qkv(self.last.ln_1(x))
        return OpenVitBlock(x, q, k, v, grid_hw, kept, maps, self)

    def outputs(
        self, pixels: Tensor, layers: Sequence[int]
    ) -> tuple[list[Tensor], tuple[int, int]]:
        """Return what blocks give, counted from 0, each (B, T, W), and the grid of the patches.

        Positions are resized to "size". Blocks after the last one that is asked for are not run.
        """
        x, grid_hw = self.embed(pixels, "size")
        kept = {}
        for i, block in enumerate(self.blocks[: max(layers) + 1]):
            x = block(x)
            if i in layers:
                kept[i] = x
        return [kept[i] for i in layers], grid_hw

    def joint(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, W) -> the space of the words, (B, T, D), not normalised."""
        x = self.ln_post(tokens.float())
        return torch.matmul(x.to(self.proj.dtype), self.proj).float()

    def forward(self, pixels: Tensor, positions: str = "size") -> Tensor:
        """Return CLIP's vector of each picture, (B, D), not normalised."""
        tokens: Tensor = self.embed(pixels, positions)[0]
        for block in self.blocks:
            tokens = block(tokens)
        return self.joint(tokens[:, :1])[:, 0]

    def embed(self, pixels: Tensor, positions: str) -> tuple[Tensor, tuple[int, int]]:
        """Return what the first block takes, (B, 1 + h * w, D), and (h, w)."""
        patches = self.conv1(pixels.to(self.conv1.weight.dtype)).float()
        grid_hw = (patches.shape[2], patches.shape[3])
        first = self.class_embedding.expand(len(patches), 1, -1)
        x = torch.cat([first, patches.flatten(2).mT], 1)
        x = self.ln_pre(x + resize_positions(self.positional_embedding, grid_hw, positions))
        return x, grid_hw
