"""SAM's picture encoder (Kirillov et al. 2023; ViTDet, Li et al. 2022), with Meta's names.

The relative positions enter as further values of queries and keys: where Meta's code adds
q · R[row of i - row of j] to the logit of i and j, the query gets its products with all rows'
offsets as values, and the key a 1 at its own row. So any fused attention computes them, and no
map of all pairs is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.errors import CheckpointError
from lexiseg.models.sam.prompts import ChannelNorm

__all__ = ["EncoderConfig", "LastAttention", "PictureEncoder", "encoder_config"]

_EPSILON = 1e-6
_LARGE = 1024  # cells from which attention on a CPU goes in bands
_BAND = 1 << 19  # logits of a band


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes, all read off the weights. window: cells a side of local attention; 0: global."""

    width: int
    layers: int
    heads: int
    hidden: int
    patch: int
    side: int  # cells a side of the padded picture
    windows: tuple[int, ...]
    out: int


@dataclass(frozen=True, eq=False)
class LastAttention:
    """q and k with positions in them, (heads, S * S, d'), and v of the last block; the picture's
    part of the grid (protocol ``WholeAttention``)."""

    q: Tensor
    k: Tensor
    values: Tensor
    side: int
    grid_hw: tuple[int, int]

    @property
    def v(self) -> Tensor:
        """Values of the picture's cells, (heads, N, d) float32."""
        return self._inside(self.values).float()

    def attention(self, head: int) -> Tensor:
        """One head's map over the picture's cells, (N, N) float32."""
        logits = self._inside(self.q)[head] @ self.k[head].T
        weights = logits.float().softmax(-1)
        columns = self._inside(weights.T[None])[0]
        return columns.T

    def _inside(self, tokens: Tensor) -> Tensor:
        h, w = self.grid_hw
        plane = tokens.unflatten(1, (self.side, self.side))  # type: ignore[no-untyped-call]
        out: Tensor = plane[:, :h, :w].flatten(1, 2)
        return out


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.empty(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.empty(2 * side - 1, width // heads))

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """Cells (B, h, w, W) -> q, k, v (B, heads, h * w, d), and what positions add to the logit
        of a cell and a row, a cell and a column, (B, heads, h * w, h) and (..., w)."""
        b, h, w, width = x.shape
        d = width // self.heads
        q, k, v = self.qkv(x).view(b, h * w, 3, self.heads, d).permute(2, 0, 3, 1, 4)
        plane = q.view(b, self.heads, h, w, d)
        up = torch.einsum("bnhwd,hkd->bnhwk", plane, _offsets(self.rel_pos_h, h))
        along = torch.einsum("bnhwd,wkd->bnhwk", plane, _offsets(self.rel_pos_w, w))
        return q, k, v, up.flatten(2, 3), along.flatten(2, 3)

    def widened(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cells (B, s, s, W) -> q, k (B, heads, s * s, d + 2 s) with positions in them, and v."""
        b, h, w, _ = x.shape
        q, k, v, up, along = self._parts(x)
        q = torch.cat([q * q.shape[-1] ** -0.5, up, along], -1)
        rows = torch.eye(h, dtype=k.dtype, device=k.device).repeat_interleave(w, 0)
        columns = torch.eye(w, dtype=k.dtype, device=k.device).repeat(h, 1)
        place = torch.cat([rows, columns], 1).expand(b, self.heads, -1, -1)
        return q, torch.cat([k, place], -1), v

    def forward(self, x: Tensor) -> Tensor:
        cells = x.shape[1] * x.shape[2]
        if x.device.type == "cpu" and cells >= _LARGE:
            attended = self._in_bands(x)
        else:
            q, k, v = self.widened(x)
            attended = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        out: Tensor = self.proj(attended.transpose(1, 2).reshape(x.shape))
        return out

    def _in_bands(self, x: Tensor) -> Tensor:
        """Attention of a large grid on a CPU, so many rows at once that their map fits the cache.

        torch's fused attention does not take keys that are wider than values there: it would hold
        the maps of all heads.
        """
        b, h, w, _ = x.shape
        q, k, v, up, along = self._parts(x)
        k = k * k.shape[-1] ** -0.5
        step = max(1, _BAND // (h * w * w)) * w
        out = torch.empty_like(v)
        for i, head in ((i, head) for i in range(b) for head in range(self.heads)):
            keys, values = k[i, head].T, v[i, head]
            for start in range(0, h * w, step):
                band = slice(start, start + step)
                logits = (q[i, head, band] @ keys).float().unflatten(1, (h, w))
                logits += up[i, head, band, :, None]
                logits += along[i, head, band, None, :]
                out[i, head, band] = logits.flatten(1).softmax(-1).to(v.dtype) @ values
        return out


def _offsets(table: Tensor, side: int) -> Tensor:
    """Entries of a table of offsets for all pairs of a side, (side, side, d)."""
    places = torch.arange(side, device=table.device)
    wanted = 2 * side - 1
    if len(table) != wanted:  # made for another side
        table = F.interpolate(table.T[None], size=wanted, mode="linear")[0].T
    return table[places[:, None] - places + side - 1]


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(F.gelu(self.lin1(x)))
        return out


class _Block(nn.Module):
    def __init__(self, config: EncoderConfig, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(config.width, eps=_EPSILON)
        self.attn = _Attention(config.width, config.heads, window or config.side)
        self.norm2 = nn.LayerNorm(config.width, eps=_EPSILON)
        self.mlp = _Mlp(config.width, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + (self._windowed(y) if self.window else self.attn(y))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _windowed(self, y: Tensor) -> Tensor:
        """Attention inside windows; what is missing to whole ones is zeros, as in Meta's code."""
        b, h, w, width = y.shape
        s = self.window
        below, right = -h % s, -w % s
        y = F.pad(y, (0, 0, 0, right, 0, below))
        rows, columns = (h + below) // s, (w + right) // s
        parts = y.view(b, rows, s, columns, s, width).transpose(2, 3).reshape(-1, s, s, width)
        parts = self.attn(parts).view(b, rows, columns, s, s, width).transpose(2, 3)
        whole: Tensor = parts.reshape(b, h + below, w + right, width)
        return whole[:, :h, :w]


class PictureEncoder(nn.Module):
    """Normalised, padded pixels (1, 3, P, P) -> features (1, out, S, S)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, c.width, c.patch, c.patch)
        self.pos_embed = nn.Parameter(torch.empty(1, c.side, c.side, c.width))
        self.blocks = nn.ModuleList(_Block(c, window) for window in c.windows)
        self.neck = nn.Sequential(
            nn.Conv2d(c.width, c.out, 1, bias=False),
            ChannelNorm(c.out),
            nn.Conv2d(c.out, c.out, 3, padding=1, bias=False),
            ChannelNorm(c.out),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.embed(pixels)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return out

    def last_attention(self, pixels: Tensor, grid_hw: tuple[int, int]) -> LastAttention:
        """Run up to the last block's attention; grid_hw: cells that the picture covers."""
        x = self.embed(pixels)
        for block in self.blocks[:-1]:
            x = block(x)
        last: _Block = self.blocks[-1]  # type: ignore[assignment]
        q, k, v = last.attn.widened(last.norm1(x))
        return LastAttention(q[0], k[0], v[0], self.config.side, grid_hw)

    def embed(self, pixels: Tensor) -> Tensor:
        """Return what the first block takes, (B, h, w, D)."""
        cells = self.patch_embed.proj(pixels).permute(0, 2, 3, 1)  # type: ignore[operator]
        out: Tensor = cells + self.pos_embed
        return out


def encoder_config(state: Mapping[str, Tensor]) -> EncoderConfig:
    """Sizes of the encoder whose weights these are, by Meta's names without their prefix.

    A head has as many values as its table of offsets. Raises CheckpointError.
    """
    try:
        width, _, patch, _ = state["patch_embed.proj.weight"].shape
        layers = 1 + max(int(n.split(".")[1]) for n in state if n.startswith("blocks."))
        side = state["pos_embed"].shape[1]
        windows = []
        for i in range(layers):
            length = state[f"blocks.{i}.attn.rel_pos_h"].shape[0]
            windows.append(0 if length == 2 * side - 1 else (length + 1) // 2)
        per_head = state["blocks.0.attn.rel_pos_h"].shape[1]
        return EncoderConfig(
            width, layers, width // per_head, state["blocks.0.mlp.lin1.weight"].shape[0],
            patch, side, tuple(windows), state["neck.0.weight"].shape[0],
        )  # fmt: skip
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"the weights are not those of a SAM ViT encoder ({error}); copy or pull them again"
        ) from error
