"""SAM 2's mask decoder: SAM's, with one more token and two finer maps of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.models.sam.decoder import Cells, DecoderConfig, MaskDecoder
from lexiseg.models.sam2.hiera import Pyramid

__all__ = ["FineCells", "FineDecoder", "Stable", "steady"]

_EPSILON = 1e-6


@dataclass(frozen=True)
class Stable:
    """When the single answer is good enough: Meta's settings of its predictor.

    delta: logits by which the threshold is moved up and down. min_stability: the IoU that the two
    masks must have with each other.
    """

    delta: float = 0.05
    min_stability: float = 0.98


@dataclass(frozen=True, eq=False)
class FineCells(Cells):
    """Cells, with what the finer maps add while they are made finer.

    halves: (N, 4, C / 4), the quarters of each cell. quarters: (N, 4, 4, C / 8), theirs.
    """

    halves: Tensor
    quarters: Tensor


class FineDecoder(MaskDecoder):
    """``MaskDecoder`` whose masks are drawn with finer maps, and whose quality is in [0, 1]."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.obj_score_token = nn.Embedding(1, config.width)
        self.conv_s0 = nn.Conv2d(config.width, config.width // 8, 1)
        self.conv_s1 = nn.Conv2d(config.width, config.width // 4, 1)

    def fine_cells(
        self, pyramid: Pyramid, no_memory: Tensor, no_mask: Tensor, places: Tensor
    ) -> FineCells:
        """All that is known of a picture before any prompt."""
        side = self.config.side
        features = pyramid.coarse.flatten(1).T[None] + no_memory
        known = self.cells(features.contiguous(), no_mask, places)
        halves = self.conv_s1(pyramid.middle).view(-1, side, 2, side, 2)
        quarters = self.conv_s0(pyramid.fine).view(-1, side, 2, 2, side, 2, 2)
        return FineCells(
            known.features, known.plain, known.keys, known.values, known.queries,
            halves.permute(1, 3, 2, 4, 0).reshape(side * side, 4, -1).contiguous(),
            quarters.permute(1, 4, 2, 5, 3, 6, 0).reshape(side * side, 4, 4, -1).contiguous(),
        )  # fmt: skip

    def forward(
        self, cells: Cells, prompt: Tensor, rough: Tensor | None, answers: slice
    ) -> tuple[Tensor, Tensor]:
        """As ``MaskDecoder.forward``; a prompt has one more token, whose place does not matter."""
        score = self.obj_score_token.weight.expand(len(prompt), 1, -1)
        prompt = torch.cat([score, prompt], 1)
        (x, heads), quality = super().forward(cells, prompt, rough, answers)
        return self._drawn(cast(FineCells, cells), x, heads), quality.float().sigmoid()

    def _masks(self, x: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Put off: drawing needs the finer maps."""
        return x, heads

    def _drawn(self, cells: FineCells, x: Tensor, heads: Tensor) -> Tensor:
        side = self.config.side
        up, norm, _, finer, _ = self.output_upscaling
        y = _quartered(up, x) + cells.halves
        y = F.gelu(F.layer_norm(y, norm.weight.shape, norm.weight, norm.bias, _EPSILON))  # type: ignore[arg-type]
        y = F.gelu(_quartered(finer, y) + cells.quarters).view(len(x), -1, heads.shape[-1])
        masks = torch.bmm(heads.to(y.dtype), y.transpose(1, 2))
        masks = masks.view(*heads.shape[:2], side, side, 2, 2, 2, 2)
        return masks.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(*heads.shape[:2], 4 * side, 4 * side)


def steady(logits: Tensor, quality: Tensor, how: Stable) -> tuple[Tensor, Tensor]:
    """One of four answers, (B, 4, h, w) -> (B, 1, h, w), and its quality (B, 1).

    The first, which is meant for prompts that leave no doubt, where it hardly changes with its
    threshold; else the one of the other three with the best quality.
    """
    first = logits[:, 0].flatten(1)
    inside = (first > how.delta).sum(1).float()
    outside = (first > -how.delta).sum(1).float()
    stable = torch.where(outside > 0, inside / outside.clamp_min(1), 1.0) >= how.min_stability
    best = torch.where(stable, 0, 1 + quality[:, 1:].argmax(1))
    rows = torch.arange(len(best), device=best.device)
    return logits[rows, best][:, None], quality[rows, best][:, None]


def _quartered(conv: nn.Module, x: Tensor) -> Tensor:
    """A transposed convolution of 2 x 2 with stride 2 on cells (..., C): (..., 4, C')."""
    weight: Tensor = conv.weight  # type: ignore[assignment]
    bias: Tensor = conv.bias  # type: ignore[assignment]
    flat = weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])
    return F.linear(x, flat, bias.repeat(4)).view(*x.shape[:-1], 4, -1)
