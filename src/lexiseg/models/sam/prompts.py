"""SAM's prompt encoder (Kirillov et al. 2023, section 3 and A), with Meta's names."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ChannelNorm", "PromptEncoder"]

_EPSILON = 1e-6
_OFF, _ON, _FIRST, _LAST = range(4)  # point beside the thing, on it; a box's two corners


class ChannelNorm(nn.Module):
    """Layer norm over channels of (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, _EPSILON)
        return y.permute(0, 3, 1, 2)


class _Waves(nn.Module):
    """Places in [0, 1] as sines and cosines of random frequencies."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, half: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.empty(2, half))

    def forward(self, places: Tensor) -> Tensor:
        across, down = (2 * math.pi) * self.positional_encoding_gaussian_matrix
        centred = 2 * places - 1
        # Not as a product of matrices: autocast would round the phase.
        phase = centred[..., :1] * across + centred[..., 1:] * down
        return torch.cat([phase.sin(), phase.cos()], -1)


class PromptEncoder(nn.Module):
    """Points, boxes and rough masks as vectors of the decoder's width."""

    def __init__(self, width: int, mask_channels: int) -> None:
        super().__init__()
        self.pe_layer = _Waves(width // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.no_mask_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_channels // 4, 2, 2),
            ChannelNorm(mask_channels // 4),
            nn.GELU(),
            nn.Conv2d(mask_channels // 4, mask_channels, 2, 2),
            ChannelNorm(mask_channels),
            nn.GELU(),
            nn.Conv2d(mask_channels, width, 1),
        )

    def grid(self, side: int) -> Tensor:
        """Position vectors of a square grid's cells, by rows, (side * side, C)."""
        device = self.no_mask_embed.weight.device
        cells = (torch.arange(side, device=device) + 0.5) / side
        y, x = torch.meshgrid(cells, cells, indexing="ij")
        out: Tensor = self.pe_layer(torch.stack([x, y], -1).flatten(0, 1))
        return out

    def tokens(
        self, count: int, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None
    ) -> Tensor:
        """Tokens of N prompts, (N, T, C).

        points: (N, P, 2) and boxes (N, 4) in parts of the padded input. labels: (N, P), 1, 0 or -1.
        Without a box one more token says that there is no further point.
        """
        nothing = self.not_a_point_embed.weight
        parts = [nothing.new_zeros(count, 0, nothing.shape[1])]
        if points is not None and labels is not None:
            kinds = torch.cat([self._kind(_OFF), self._kind(_ON)])
            known = self.pe_layer(points) + kinds[labels.clamp_min(0)]
            parts.append(torch.where((labels < 0)[..., None], nothing, known))
            if boxes is None:
                parts.append(nothing.expand(count, 1, -1))
        if boxes is not None:
            corners = torch.cat([self._kind(_FIRST), self._kind(_LAST)])
            parts.append(self.pe_layer(boxes.view(-1, 2, 2)) + corners)
        return torch.cat(parts, 1)

    def dense(self, masks: Tensor) -> Tensor:
        """Rough masks (N, 4S, 4S), logits -> what they add to each cell, (N, S * S, C)."""
        out: Tensor = self.mask_downscaling(masks[:, None])
        return out.flatten(2).transpose(1, 2)

    def _kind(self, which: int) -> Tensor:
        out: Tensor = self.point_embeddings[which].weight  # type: ignore[assignment]
        return out
