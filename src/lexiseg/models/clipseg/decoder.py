"""CLIPSeg's decoder: activations of a frozen image tower and a prompt's vector -> a map of logits.

What does not hang on the prompt, the reductions, is done once a picture; the rest runs for several
prompts together, as many as keep the working set in a core's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.models.clip.blocks import Attention
from lexiseg.models.clipseg.config import DecoderConfig

__all__ = ["Decoder", "Reduced"]

_CACHE = 4 << 20  # bytes of activations that are worked on at once
_HIDDEN = 1 << 18  # hidden values between linear layers that are


@dataclass(frozen=True, eq=False)
class Reduced:
    """A picture as the decoder sees it: per step, deepest first, (B, T, D); the class token first.

    classes: how many tokens stand before the cells.
    """

    steps: tuple[Tensor, ...]
    grid_hw: tuple[int, int]
    classes: int = 1


class _Layer(nn.Module):
    """A transformer layer that normalises after each part (post-norm), with ReLU."""

    def __init__(self, config: DecoderConfig, dropout: float) -> None:
        super().__init__()
        width = config.reduce_dim
        self.self_attn = Attention(width, config.heads)
        self.linear1 = nn.Linear(width, config.mlp)
        self.linear2 = nn.Linear(config.mlp, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T, D) -> the same."""
        p = self.dropout if self.training else 0.0
        q, k, v = self.self_attn.qkv(x)
        attended = self.self_attn.project(F.scaled_dot_product_attention(q, k, v, dropout_p=p))
        x = self.norm1(x + F.dropout(attended, p, self.training))
        if torch.is_grad_enabled():
            hidden = F.dropout(F.relu(self.linear1(x)), p, self.training)
            out: Tensor = self.norm2(x + F.dropout(self.linear2(hidden), p, self.training))
            return out
        out = self.norm2(x + self._mixed(x))
        return out

    def _mixed(self, x: Tensor) -> Tensor:
        """The two linear layers, some tokens at a time, so that hidden values stay in the cache."""
        up, down = self.linear1, self.linear2
        rows = F.pad(x.flatten(0, 1), (0, 1), value=1.0)  # the bias is one more input
        first = torch.cat([up.weight, up.bias[:, None]], 1).T.contiguous()
        last = down.weight.T.contiguous()
        step = max(64, _HIDDEN // up.out_features) if x.device.type == "cpu" else len(rows)
        out = torch.empty_like(x).view(-1, x.shape[-1])
        for i in range(0, len(rows), step):
            hidden = (rows[i : i + step] @ first).relu_()
            torch.addmm(down.bias, hidden, last, out=out[i : i + step])
        return out.view_as(x)


class Decoder(nn.Module):
    """The published names of weights: film_mul, film_add, reduces, blocks, trans_conv."""

    def __init__(self, config: DecoderConfig, dropout: float = 0.1) -> None:
        super().__init__()
        self.config = config
        width, cell = config.reduce_dim, config.cell
        self.film_mul = nn.Linear(config.cond_dim, width)
        self.film_add = nn.Linear(config.cond_dim, width)
        self.reduces = nn.ModuleList(nn.Linear(w, width) for w in reversed(config.widths))
        self.blocks = nn.ModuleList(_Layer(config, dropout) for _ in config.layers)
        for block in self.blocks:
            nn.init.xavier_uniform_(block.self_attn.in_proj_weight)  # type: ignore[union-attr, arg-type]
            nn.init.zeros_(block.self_attn.in_proj_bias)  # type: ignore[union-attr, arg-type]
        self.trans_conv: nn.Module
        if config.refined:
            # The published code takes cell // 4 twice, which makes up a cell of 16 only.
            first, second = 4, cell // 4
            self.trans_conv = nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(width, width // 2, first, first),
                nn.ReLU(),
                nn.ConvTranspose2d(width // 2, 1, second, second),
            )
        else:
            self.trans_conv = nn.ConvTranspose2d(width, 1, cell, cell)

    def reduce(
        self, activations: Sequence[Tensor], grid_hw: tuple[int, int], classes: int = 1
    ) -> Reduced:
        """Activations of ``config.layers``, shallowest first, each (B, T, W) -> reduced ones."""
        pairs = zip(self.reduces, reversed(activations), strict=True)
        return Reduced(tuple(linear(x) for linear, x in pairs), grid_hw, classes)

    def forward(self, reduced: Reduced, conditionals: Tensor) -> Tensor:
        """Return logits, (N, h * cell, w * cell): prompt i on picture i, or all on a single one.

        conditionals: (N, C), CLIP's vectors of texts or pictures, not normalised.
        """
        if torch.is_grad_enabled():
            return self._some(reduced, conditionals)
        tokens = reduced.steps[0].shape[1]
        each = 4 * tokens * 8 * self.config.reduce_dim
        at_once = max(1, _CACHE // each) if conditionals.device.type == "cpu" else 64
        many = reduced.steps[0].shape[0] > 1
        height, width = (side * self.config.cell for side in reduced.grid_hw)
        out = torch.empty(len(conditionals), height, width, device=conditionals.device)
        for i in range(0, len(conditionals), at_once):
            part = slice(i, i + at_once)
            one = (
                Reduced(tuple(s[part] for s in reduced.steps), reduced.grid_hw, reduced.classes)
                if many
                else reduced
            )
            out[part] = self._some(one, conditionals[part])
        return out

    def _some(self, reduced: Reduced, conditionals: Tensor) -> Tensor:
        config, count = self.config, len(conditionals)
        mul, add = self.film_mul(conditionals)[:, None], self.film_add(conditionals)[:, None]
        x: Tensor | None = None
        for i, (step, block) in enumerate(zip(reduced.steps, self.blocks, strict=True)):
            x = step if x is None else step + x
            if i == config.film_at:
                x = mul * x + add
            x = block(x)
        assert x is not None
        cells = x[:, reduced.classes :].reshape(count, *reduced.grid_hw, -1)
        if isinstance(self.trans_conv, nn.ConvTranspose2d):
            return _enlarged(cells, self.trans_conv)[..., 0].float()
        conv, _, first, _, second = self.trans_conv.children()
        cells = F.relu(conv(cells.permute(0, 3, 1, 2)), True).permute(0, 2, 3, 1)
        return _enlarged(F.relu(_enlarged(cells, first), True), second)[..., 0].float()


def _enlarged(cells: Tensor, conv: nn.Module) -> Tensor:
    """A transposed convolution whose patches do not overlap, (N, h, w, C) -> (N, h k, w k, C').

    It is one product a cell, which is several times as fast as the general operator.
    """
    count, height, width, channels = cells.shape
    weight: Tensor = conv.weight  # type: ignore[assignment]
    filters, side = weight.shape[1], weight.shape[2]
    made = cells.reshape(-1, channels) @ weight.permute(0, 2, 3, 1).reshape(channels, -1)
    made = made.view(count, height, width, side, side, filters).transpose(2, 3)
    bias: Tensor = conv.bias  # type: ignore[assignment]
    return made.reshape(count, height * side, width * side, filters) + bias
