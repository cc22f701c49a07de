"""A prompt's map from the bundled encoder's features: a small head after CLIPSeg's.

CLIPSeg (Lüddecke and Ecker, CVPR 2022) conditions a decoder with FiLM (Perez et al. 2018): the
prompt's vector scales and shifts the features. Here features are a grid of 4x4 pixels already, so
the decoder is two convolution blocks at twice that; and since prompts and places share a space,
their cosine is given too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.models.tiny.vision import ConvBlock

__all__ = ["FilmConfig", "FilmHead"]

# Of ten times a cosine. On training photos of the bundled encoder places of a word have a mean
# cosine of 0.75 with it, others of 0.31: odds are even at 0.65.
_SLOPE, _OFFSET = 1.4, -9.1


@dataclass(frozen=True)
class FilmConfig:
    """Sizes of the head; stored beside its weights."""

    fine_dim: int = 96
    cond_dim: int = 256
    dim: int = 48
    blocks: int = 2


class FilmHead(nn.Module):
    """Decoded (B, h, w, F), cosines (B, P, h, w), prompts (B, P, C) -> logits (B, P, h, w)."""

    def __init__(self, config: FilmConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or FilmConfig()
        self.norm = nn.LayerNorm(c.fine_dim)
        self.reduce = nn.Linear(c.fine_dim, c.dim)
        self.film_mul = nn.Linear(c.cond_dim, c.dim)
        self.film_add = nn.Linear(c.cond_dim, c.dim)
        self.alike = nn.Linear(1, c.dim)
        self.blocks = nn.ModuleList(ConvBlock(c.dim, 2 * c.dim) for _ in range(c.blocks))
        self.whole = nn.Linear(2 * c.dim, c.dim)
        self.last = nn.LayerNorm(c.dim)
        self.out = nn.Linear(c.dim, 1)
        self.direct = nn.Linear(1, 1)
        # Training starts at the cosine alone, as odds that fit the bundled features.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        nn.init.constant_(self.direct.weight, _SLOPE)
        nn.init.constant_(self.direct.bias, _OFFSET)

    def forward(self, decoded: Tensor, alike: Tensor, prompts: Tensor) -> Tensor:
        b, p, h, w = alike.shape
        x = self.reduce(self.norm(decoded))[:, None]
        x = self.film_mul(prompts)[:, :, None, None] * x + self.film_add(prompts)[:, :, None, None]
        cosine = 10 * alike[..., None]
        x = F.gelu(x + self.alike(cosine)).flatten(0, 1)
        y = _halved(x)
        for block in self.blocks:
            y = block(y)
            # What the whole picture holds: whether the thing is there at all.
            whole = self.whole(torch.cat([y.mean((1, 2)), y.amax((1, 2))], -1))
            y = y + whole[:, None, None]
        x = x + F.interpolate(
            y.permute(0, 3, 1, 2), (h, w), mode="bilinear", align_corners=False
        ).permute(0, 2, 3, 1)
        logits = self.out(self.last(x)).view(b, p, h, w) + self.direct(cosine)[..., 0]
        out: Tensor = logits
        return out


def _halved(x: Tensor) -> Tensor:
    """Means of 2x2 places, (N, h, w, D) -> (N, ceil(h / 2), ceil(w / 2), D)."""
    y = F.avg_pool2d(x.permute(0, 3, 1, 2), 2, ceil_mode=True, count_include_pad=False)
    return y.permute(0, 2, 3, 1)
