"""SAM's mask decoder (Kirillov et al. 2023, section A), with Meta's names, computed another way.

A prompt has few tokens (T) and a picture many cells (N). Where Meta's code projects all cells for
every prompt, here the products are regrouped, which changes nothing but rounding:

- the first layer's keys, values and queries of cells do not depend on the prompt: once a picture;
- q · (W x) = (W' q) · x: what tokens ask goes through the weights, so that cells need not;
- sum a (W x) = W (sum a x): what tokens gather is projected after it was gathered;
- cells gather from tokens: a (W v) with W v of T tokens, and not (a v) W of N cells.

A cell then costs 2 C · T · heads products an attention, in place of 4 C · C / 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.models.sam.prompts import ChannelNorm

__all__ = ["Cells", "DecoderConfig", "MaskDecoder"]

_TOKENS = 4  # one for a single answer, three candidates
_LAYERS = 2
_PART = 1 << 16  # numbers of cells that are made finer at once on a CPU


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes, read off the weights, but for the heads, which are 8 in all that was published."""

    width: int
    hidden: int
    mask_channels: int
    side: int
    quality_hidden: int
    quality_layers: int
    heads: int = 8


@dataclass(frozen=True, eq=False)
class Cells:
    """A picture's cells, and what the first layer makes of them, whatever the prompt.

    features: (1, N, C) without what a mask prompt adds; plain: with the vector of "no mask".
    keys, values, queries: (heads, N, d), of ``plain``.
    """

    features: Tensor
    plain: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor


class _Attention(nn.Module):
    """Weights of one attention; ``narrow``: inside, half the width."""

    def __init__(self, width: int, heads: int, narrow: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width // narrow)
        self.k_proj = nn.Linear(width, width // narrow)
        self.v_proj = nn.Linear(width, width // narrow)
        self.out_proj = nn.Linear(width // narrow, width)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, heads * d) -> (heads, B, T, d)."""
        return x.view(*x.shape[:-1], self.heads, -1).permute(2, 0, 1, 3)

    def joined(self, x: Tensor) -> Tensor:
        """(heads, B, T, d) -> the output projection, (B, T, C)."""
        out: Tensor = self.out_proj(x.permute(1, 2, 0, 3).flatten(2))
        return out

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The plain way, among tokens."""
        q, k, v = self.split(self.q_proj(q)), self.split(self.k_proj(k)), self.split(self.v_proj(v))
        return self.joined(F.scaled_dot_product_attention(q, k, v))


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(F.relu(self.lin1(x)))
        return out


class _Head(nn.Module):
    """A deeper MLP."""

    def __init__(self, width: int, hidden: int, out: int, depth: int) -> None:
        super().__init__()
        sizes = [width, *[hidden] * (depth - 1), out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


class _TwoWay(nn.Module):
    def __init__(self, c: DecoderConfig) -> None:
        super().__init__()
        self.self_attn = _Attention(c.width, c.heads, 1)
        self.norm1 = nn.LayerNorm(c.width)
        self.cross_attn_token_to_image = _Attention(c.width, c.heads, 2)
        self.norm2 = nn.LayerNorm(c.width)
        self.mlp = _Mlp(c.width, c.hidden)
        self.norm3 = nn.LayerNorm(c.width)
        self.norm4 = nn.LayerNorm(c.width)
        self.cross_attn_image_to_token = _Attention(c.width, c.heads, 2)


class _Transformer(nn.Module):
    def __init__(self, c: DecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_TwoWay(c) for _ in range(_LAYERS))
        self.final_attn_token_to_image = _Attention(c.width, c.heads, 2)
        self.norm_final_attn = nn.LayerNorm(c.width)


class MaskDecoder(nn.Module):
    """Cells of a picture and tokens of prompts -> mask logits and expected IoU."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.transformer = _Transformer(c)
        self.iou_token = nn.Embedding(1, c.width)
        self.mask_tokens = nn.Embedding(_TOKENS, c.width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(c.width, c.width // 4, 2, 2),
            ChannelNorm(c.width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(c.width // 4, c.width // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            _Head(c.width, c.width, c.width // 8, 3) for _ in range(_TOKENS)
        )
        self.iou_prediction_head = _Head(c.width, c.quality_hidden, _TOKENS, c.quality_layers)
        # Of each attention between tokens and cells, by its weights: positions of cells, projected.
        self._places: dict[str, Tensor] = {}

    def prepare(self, places: Tensor) -> None:
        """Project the cells' positions, (N, C), which are the same for all pictures."""
        for name in self._cross():
            self._places[name] = self._cells_of(name, places)

    def cells(self, features: Tensor, no_mask: Tensor, places: Tensor) -> Cells:
        """What is known of a picture, (1, N, C), before any prompt."""
        plain = features + no_mask
        first: _TwoWay = self.transformer.layers[0]  # type: ignore[assignment]
        to_cells, to_tokens = first.cross_attn_token_to_image, first.cross_attn_image_to_token
        return Cells(
            features,
            plain,
            to_cells.split(to_cells.k_proj(plain + places))[:, 0],
            to_cells.split(to_cells.v_proj(plain))[:, 0],
            to_tokens.split(to_tokens.q_proj(plain + places))[:, 0],
        )

    def forward(
        self, cells: Cells, prompt: Tensor, rough: Tensor | None, answers: slice
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, K, 4S, 4S) and expected IoU (B, K) of the mask tokens ``answers``.

        prompt: tokens, (B, T, C). rough: what mask prompts add to the cells, (B, N, C).
        """
        count = len(prompt)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        queries = torch.cat([own.expand(count, -1, -1), prompt], 1)
        tokens, x = queries, cells.plain if rough is None else cells.features + rough
        for i in range(_LAYERS):
            layer: _TwoWay = self.transformer.layers[i]  # type: ignore[assignment]
            if i == 0:
                tokens = layer.norm1(layer.self_attn(tokens, tokens, tokens))
            else:
                q = tokens + queries
                tokens = layer.norm1(tokens + layer.self_attn(q, q, tokens))
            ready = cells if i == 0 and rough is None else None
            name = f"{i}.token_to_image"
            tokens = layer.norm2(tokens + self._attend_cells(name, tokens + queries, x, ready))
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            x = layer.norm4(
                self._update_cells(f"{i}.image_to_token", tokens + queries, tokens, x, ready)
            )
        used = torch.cat([tokens[:, :1], tokens[:, 1 : 1 + _TOKENS][:, answers]], 1)
        q = used + torch.cat([queries[:, :1], queries[:, 1 : 1 + _TOKENS][:, answers]], 1)
        used = self.transformer.norm_final_attn(used + self._attend_cells("final", q, x, None))
        quality = self.iou_prediction_head(used[:, 0])[:, answers]
        chosen = range(_TOKENS)[answers]
        heads = [self.output_hypernetworks_mlps[k](used[:, 1 + i]) for i, k in enumerate(chosen)]
        return self._masks(x, torch.stack(heads, 1)), quality

    def _cross(self) -> dict[str, tuple[_Attention, nn.Linear]]:
        """The attentions between tokens and cells, and the projection that cells go through."""
        out: dict[str, tuple[_Attention, nn.Linear]] = {}
        for i in range(_LAYERS):
            layer = cast(_TwoWay, self.transformer.layers[i])
            to, back = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
            out[f"{i}.token_to_image"] = (to, to.k_proj)
            out[f"{i}.image_to_token"] = (back, back.q_proj)
        final = self.transformer.final_attn_token_to_image
        out["final"] = (final, final.k_proj)
        return out

    def _cells_of(self, name: str, places: Tensor) -> Tensor:
        attention, linear = self._cross()[name]
        return attention.split(linear(places)[None])[:, 0].contiguous()

    def _logits(self, name: str, tokens: Tensor, x: Tensor, shared: Tensor | None) -> Tensor:
        """What tokens and cells have to do with each other, (B, heads, T, N).

        tokens: (heads, B, T, d), scaled. shared: the cells as the first layer sees them.
        """
        heads, count, t, d = tokens.shape
        known = self._places[name] if shared is None else shared
        part = torch.bmm(
            tokens.reshape(heads, count * t, d), known.transpose(1, 2).to(tokens.dtype)
        )
        part = part.view(heads, count, t, -1).transpose(0, 1)
        if shared is not None:
            return part
        _, linear = self._cross()[name]
        weight = linear.weight.unflatten(0, (heads, d)).to(tokens.dtype)  # type: ignore[no-untyped-call]
        through = torch.einsum("hbtd,hdc->bhtc", tokens, weight).flatten(1, 2)
        x = x.to(tokens.dtype).expand(count, -1, -1)
        out = torch.baddbmm(part.flatten(1, 2), through, x.transpose(1, 2))
        return out.view(count, heads, t, -1)

    def _attend_cells(self, name: str, tokens: Tensor, x: Tensor, ready: Cells | None) -> Tensor:
        """Tokens look at cells: (B, T, C)."""
        attention, _ = self._cross()[name]
        q = attention.split(attention.q_proj(tokens))
        heads, count, t, d = q.shape
        q = q * d**-0.5
        weights = self._logits(name, q, x, None if ready is None else ready.keys).softmax(-1)
        weights = weights.to(q.dtype)
        if ready is not None:
            flat = weights.transpose(0, 1).reshape(heads, count * t, -1)
            return attention.joined(torch.bmm(flat, ready.values).view(heads, count, t, d))
        mixed = torch.bmm(weights.flatten(1, 2), x.to(q.dtype).expand(count, -1, -1))
        linear = attention.v_proj
        weight = linear.weight.view(heads, d, -1).to(q.dtype)
        heads_out = torch.einsum("bhtc,hdc->hbtd", mixed.view(count, heads, t, -1), weight)
        # Weights of a token sum to 1, so the values' bias comes through whole.
        return attention.joined(heads_out + linear.bias.view(heads, 1, 1, d))

    def _update_cells(
        self, name: str, tokens: Tensor, values: Tensor, x: Tensor, ready: Cells | None
    ) -> Tensor:
        """Cells look at tokens, and add what they see: (B, N, C)."""
        attention, _ = self._cross()[name]
        k = attention.split(attention.k_proj(tokens))
        heads, count, _, d = k.shape
        k = k * d**-0.5
        weights = self._logits(name, k, x, None if ready is None else ready.queries).softmax(2)
        linear = attention.out_proj
        weight = linear.weight.view(-1, heads, d).to(k.dtype)
        v = attention.split(attention.v_proj(values))
        # A cell's weights sum to 1 in each head: each brings its part of the bias.
        values_out = torch.einsum("hbtd,chd->bhtc", v, weight).flatten(1, 2) + linear.bias / heads
        values_out, flat = values_out.to(k.dtype), weights.to(k.dtype).flatten(1, 2)
        return torch.baddbmm(x.to(k.dtype).expand(count, -1, -1), flat.transpose(1, 2), values_out)

    def _masks(self, x: Tensor, heads: Tensor) -> Tensor:
        """Cells made four times as fine, times each answer's vector: (B, K, 4S, 4S)."""
        (count, cells, width), answers, side = x.shape, heads.shape[1], self.config.side
        # What lies between is sixteen times as many numbers: on a CPU in parts that fit the cache.
        # Compiled, that would be a loop unrolled.
        whole = x.device.type != "cpu" or torch.compiler.is_compiling()
        step = cells if whole else max(1, _PART // width)
        if step >= cells:
            fine = self._finer(x).flatten(1, 2)
            masks = torch.bmm(heads, fine.transpose(1, 2))
        else:
            masks = heads.new_empty(count, answers, cells * 16)
            for i in range(count):
                for start in range(0, cells, step):
                    fine = self._finer(x[i, start : start + step]).flatten(0, 1)
                    masks[i, :, start * 16 : start * 16 + len(fine)] = heads[i] @ fine.T
        masks = masks.view(count, answers, side, side, 2, 2, 2, 2)
        # Rows: cell, half, quarter; columns likewise.
        return masks.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(count, answers, 4 * side, 4 * side)

    def _finer(self, x: Tensor) -> Tensor:
        """Cells (..., C) -> the 4 x 4 places of each, (..., 16, C / 8)."""
        up, norm, _, finer, _ = self.output_upscaling
        y = _unfolded(up, x)
        y = F.gelu(F.layer_norm(y, norm.weight.shape, norm.weight, norm.bias, 1e-6))  # type: ignore[arg-type]
        return F.gelu(_unfolded(finer, y)).flatten(-3, -2)


def _unfolded(conv: nn.Module, x: Tensor) -> Tensor:
    """A transposed convolution of 2 x 2 with stride 2 on cells (..., C): (..., 4, C')."""
    weight: Tensor = conv.weight  # type: ignore[assignment]
    bias: Tensor = conv.bias  # type: ignore[assignment]
    flat = weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])
    return F.linear(x, flat, bias.repeat(4)).view(*x.shape[:-1], 4, -1)
