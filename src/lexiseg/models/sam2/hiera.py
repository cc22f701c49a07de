"""SAM 2's picture encoder: Hiera (Ryali et al. 2023; Bolya et al. 2024) and its pyramid.

The modules have the names of Meta's weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.errors import CheckpointError

__all__ = ["HieraConfig", "Pyramid", "PyramidEncoder", "hiera_config"]

_EPSILON = 1e-6


@dataclass(frozen=True)
class HieraConfig:
    """Sizes. Of each of the four stages: blocks, widths, heads, and cells a side of a window.

    everywhere: the blocks, counted from 0, that look at the whole picture. out: the pyramid's
    width. side: cells of 16 pixels a side of the picture. background: the position map's own size.
    """

    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    heads: tuple[int, ...]
    windows: tuple[int, ...]
    everywhere: tuple[int, ...]
    background: tuple[int, int] = (7, 7)
    mlp_ratio: float = 4.0
    out: int = 256
    side: int = 64
    patch: int = 16


# Width of the first stage, blocks -> heads of the first stage, windows, blocks that look everywhere
# (the .yaml files of Meta's repository; none of it shows in the weights).
_PUBLISHED: Mapping[tuple[int, tuple[int, ...]], tuple[int, tuple[int, ...], tuple[int, ...]]] = {
    (96, (1, 2, 7, 2)): (1, (8, 4, 14, 7), (5, 7, 9)),
    (96, (1, 2, 11, 2)): (1, (8, 4, 14, 7), (7, 10, 13)),
    (112, (2, 3, 16, 3)): (2, (8, 4, 14, 7), (12, 16, 20)),
    (144, (2, 6, 36, 4)): (2, (8, 4, 16, 8), (23, 33, 43)),
}


def hiera_config(state: Mapping[str, Tensor]) -> HieraConfig:
    """Read the sizes off the picture encoder's weights, by Meta's names without prefix.

    Raises CheckpointError for weights of another size than tiny, small, base plus or large.
    """
    try:
        width, background = state["trunk.pos_embed"].shape[1], state["trunk.pos_embed"].shape[2:]
        depth = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("trunk.blocks."))
        grown = [i for i in range(depth) if f"trunk.blocks.{i}.proj.weight" in state]
        edges = [0, *grown, depth]
        blocks = tuple(b - a for a, b in pairwise(edges))
        out = state["neck.convs.0.conv.weight"].shape[0]
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"these are not the weights of a SAM 2 ({error}); copy or pull them again"
        ) from error
    if (width, blocks) not in _PUBLISHED:
        known = ", ".join(f"{w} wide with {b}" for w, b in _PUBLISHED)
        raise CheckpointError(
            f"a SAM 2 {width} wide with {blocks} blocks; those known are {known}: give a folder "
            "with transformers' config.json"
        )
    heads, windows, everywhere = _PUBLISHED[width, blocks]
    return HieraConfig(
        blocks=blocks,
        widths=tuple(width * 2**i for i in range(len(blocks))),
        heads=tuple(heads * 2**i for i in range(len(blocks))),
        windows=windows,
        everywhere=everywhere,
        background=(background[0], background[1]),
        out=out,
    )


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Maps of one picture: fine (C, 4S, 4S), middle (C, 2S, 2S), coarse (C, S, S)."""

    fine: Tensor
    middle: Tensor
    coarse: Tensor


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, hidden), nn.Linear(hidden, width)])

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.layers
        out: Tensor = second(F.gelu(first(x)))
        return out


class _Attention(nn.Module):
    """Attention in windows, (B, h, w, C) -> (B, h', w', C'); ``pool``: queries halve both sides."""

    def __init__(self, width: int, out: int, heads: int, *, pool: bool) -> None:
        super().__init__()
        self.heads, self.pool = heads, pool
        self.qkv = nn.Linear(width, 3 * out)
        self.proj = nn.Linear(out, out)

    def forward(self, x: Tensor) -> Tensor:
        count, height, width, _ = x.shape
        q, k, v = self.qkv(x).chunk(3, -1)
        if self.pool:
            q = _pooled(q)
            height, width = q.shape[1:3]
        q, k, v = (
            y.reshape(count, -1, self.heads, y.shape[-1] // self.heads).transpose(1, 2)
            for y in (q, k, v)
        )
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        out: Tensor = self.proj(y.reshape(count, height, width, -1))
        return out


class _Block(nn.Module):
    """window: cells a side before pooling; 0: the whole map."""

    def __init__(
        self, width: int, out: int, heads: int, window: int, ratio: float, *, pool: bool
    ) -> None:
        super().__init__()
        self.window, self.pool = window, pool
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = _Attention(width, out, heads, pool=pool)
        self.norm2 = nn.LayerNorm(out, eps=_EPSILON)
        self.mlp = _Mlp(out, int(out * ratio))
        self.proj = nn.Linear(width, out) if width != out else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.norm1(x)
        if self.proj is not None:
            shortcut = self.proj(x)
            shortcut = _pooled(shortcut) if self.pool else shortcut
        height, width = shortcut.shape[1:3]
        if self.window:
            x, (rows, columns) = _windows(x, self.window)
            x = self.attn(x)
            side = x.shape[1]
            x = x.view(-1, rows, columns, side, side, x.shape[-1]).transpose(2, 3)
            x = x.reshape(len(shortcut), rows * side, columns * side, -1)[:, :height, :width]
        else:
            x = self.attn(x)
        x = shortcut + x
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _Trunk(nn.Module):
    def __init__(self, c: HieraConfig) -> None:
        super().__init__()
        self.config = c
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, c.widths[0], 7, 4, 3)
        self.pos_embed = nn.Parameter(torch.empty(1, c.widths[0], *c.background))
        self.pos_embed_window = nn.Parameter(
            torch.empty(1, c.widths[0], c.windows[0], c.windows[0])
        )
        blocks: list[nn.Module] = []
        width = c.widths[0]
        for stage, count in enumerate(c.blocks):
            for i in range(count):
                first = stage > 0 and i == 0
                # A stage's first block still has the windows of the one before.
                window = c.windows[stage - 1 if first else stage]
                window = 0 if len(blocks) in c.everywhere else window
                out = c.widths[stage]
                blocks.append(_Block(width, out, c.heads[stage], window, c.mlp_ratio, pool=first))
                width = out
        self.blocks = nn.ModuleList(blocks)

    def positions(self, size_hw: tuple[int, int]) -> Tensor:
        """What is added to cells: a smooth map over all, and one that repeats in every window."""
        whole = F.interpolate(self.pos_embed, size=size_hw, mode="bicubic")
        side = self.pos_embed_window.shape[-1]
        local = self.pos_embed_window.repeat(1, 1, -(-size_hw[0] // side), -(-size_hw[1] // side))
        return (whole + local[:, :, : size_hw[0], : size_hw[1]]).permute(0, 2, 3, 1)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        x = self.patch_embed.proj(pixels).permute(0, 2, 3, 1)  # type: ignore[operator]
        x = x + self.positions((x.shape[1], x.shape[2])).to(x.dtype)
        ends, out = _ends(self.config.blocks), []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in ends:
                out.append(x)
        return out


class PyramidEncoder(nn.Module):
    """A picture (1, 3, 16 S, 16 S), normalised, to its pyramid."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = _Trunk(config)
        self.neck = nn.Module()
        convs = []
        for width in reversed(config.widths):
            conv = nn.Module()
            conv.conv = nn.Conv2d(width, config.out, 1)
            convs.append(conv)
        self.neck.convs = nn.ModuleList(convs)

    def forward(self, pixels: Tensor) -> Pyramid:
        """The coarse map also has what a map of half its size adds; the finer two stand alone."""
        maps = self.trunk(pixels)
        coarsest, coarse, middle, fine = (
            conv.conv(x.permute(0, 3, 1, 2))
            for conv, x in zip(self.neck.convs, reversed(maps), strict=True)  # type: ignore[arg-type]
        )
        coarse = coarse + F.interpolate(coarsest.float(), scale_factor=2.0, mode="nearest")
        return Pyramid(fine[0], middle[0], coarse[0])


def _ends(blocks: tuple[int, ...]) -> set[int]:
    return {sum(blocks[: i + 1]) - 1 for i in range(len(blocks))}


def _pooled(x: Tensor) -> Tensor:
    """The maximum of every 2 x 2 cells, (B, h, w, C) -> (B, h / 2, w / 2, C)."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2, 2).permute(0, 2, 3, 1)


def _windows(x: Tensor, side: int) -> tuple[Tensor, tuple[int, int]]:
    """Cut (B, h, w, C), padded with zeros, into (B * rows * columns, side, side, C)."""
    count, height, width, channels = x.shape
    x = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
    rows, columns = x.shape[1] // side, x.shape[2] // side
    x = x.view(count, rows, side, columns, side, channels).transpose(2, 3)
    return x.reshape(-1, side, side, channels), (rows, columns)
