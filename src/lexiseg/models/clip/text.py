"""CLIP's text tower. A token sees none after it, so nothing after the end token is computed.

For the same reason, what texts have in common at their beginning ("a photo of a") is the same in
all of them, and is computed once: of it the others need the keys and values of each block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.models.clip.blocks import Block
from lexiseg.models.clip.config import TextConfig

__all__ = ["Beginnings", "TextTower", "shared_beginnings"]

_MIN_SHARED = 8  # texts that share a beginning, at least


@dataclass(frozen=True, eq=False)
class Beginnings:
    """M beginnings of texts, P tokens at most: a pair of keys and values a block.

    blocks: each (M, heads, P, d). lengths: (M,) their tokens.
    """

    blocks: Sequence[tuple[Tensor, Tensor]]
    lengths: Tensor


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

    def beginnings(self, ids: Tensor, lengths: Tensor) -> Beginnings:
        """Tokens (M, P), of which the first lengths, (M,), count."""
        x = self._embed(ids, torch.zeros_like(lengths))
        kept = []
        for block in self.transformer.resblocks:  # type: ignore[union-attr]
            q, k, v = block.attn.qkv(block.ln_1(x))
            kept.append((k, v))
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = block.complete(x, block.attn.project(attended))
        return Beginnings(kept, lengths)

    def forward(
        self,
        ids: Tensor,
        ends: Tensor,
        shared: Beginnings | None = None,
        which: Tensor | None = None,
    ) -> Tensor:
        """Tokens (K, T), and where the end token of each is, (K,) -> (K, D), not normalised.

        T may be as short as the longest text; what stands after an end token does not matter.
        which: (K,) the shared beginning that each row's tokens follow; ``ends`` count from there.
        """
        blocks: list[Block] = list(self.transformer.resblocks)  # type: ignore[arg-type]
        rows, length = ids.shape
        own = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        mask = own.expand(rows, 1, length, length)
        starts = torch.zeros_like(ends)
        before: Sequence[tuple[Tensor, Tensor]] = ()
        if shared is not None and which is not None:
            starts = shared.lengths[which]
            longest = shared.blocks[0][0].shape[2]
            visible = torch.arange(longest, device=ids.device) < starts[:, None]
            visible = visible[:, None, None].expand(rows, 1, length, longest)
            mask = torch.cat([visible, mask], -1)
            before = shared.blocks
        x = self._embed(ids, starts)
        every = torch.arange(rows, device=ids.device)
        for i, block in enumerate(blocks):
            q, k, v = block.attn.qkv(block.ln_1(x))
            if before:
                k = torch.cat([before[i][0][which], k], 2)
                v = torch.cat([before[i][1][which], v], 2)
            if i == len(blocks) - 1:  # nobody looks at the others any more
                x, q, mask = (
                    x[every, ends, None],
                    q[every, :, ends, None],
                    mask[every, :, ends, None],
                )
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            x = block.complete(x, block.attn.project(attended))
        x = self.ln_final(x[:, 0])
        return torch.matmul(x.to(self.text_projection.dtype), self.text_projection).float()

    def _embed(self, ids: Tensor, starts: Tensor) -> Tensor:
        """Tokens (K, T) -> (K, T, W) float32; starts: (K,) the place of each row's first one."""
        places = starts[:, None] + torch.arange(ids.shape[1], device=ids.device)
        places = places.clamp_max_(len(self.positional_embedding) - 1)  # of what does not matter
        tokens: Tensor = self.token_embedding(ids)
        return tokens.float() + self.positional_embedding[places]


def shared_beginnings(
    tokens: Sequence[Sequence[int]],
) -> tuple[list[tuple[int, ...]], list[int]]:
    """Texts as tokens -> beginnings, and which of these each text has.

    A text's beginning is the longest that it shares with enough others, and never all of it. All
    texts begin with the start token, so each has one, unless texts are few: then there are none.
    """
    counts = Counter(tuple(ids[:n]) for ids in tokens for n in range(1, len(ids)))
    numbers: dict[tuple[int, ...], int] = {}
    of_text = []
    for ids in tokens:
        shared = next(
            (n for n in range(len(ids) - 1, 0, -1) if counts[tuple(ids[:n])] >= _MIN_SHARED), 0
        )
        if not shared:
            return [], []
        of_text.append(numbers.setdefault(tuple(ids[:shared]), len(numbers)))
    return list(numbers), of_text
