"""CLIP's ResNets: a deep stem, average pooling before strides, attention pooling at the end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.errors import OptionError
from lexiseg.models.clip.blocks import resize_positions
from lexiseg.models.clip.config import ResNetConfig

__all__ = ["AttentionPool", "OpenPool", "ResNet"]


@dataclass(frozen=True, eq=False)
class OpenPool:
    """Attention pooling, opened (protocol ``LastBlock``): q, k, v of every cell.

    It has neither residual connection nor MLP, so ``complete`` returns what it is given.
    """

    tokens: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    grid_hw: tuple[int, int]
    kept: Mapping[int, Tensor]
    attention: Mapping[int, Tensor]
    net: AttentionPool

    @property
    def index(self) -> int:
        return 0  # no attention comes before the pooling

    def project(self, values: Tensor) -> Tensor:
        out: Tensor = self.net.c_proj(values.transpose(1, 2).flatten(2))
        return out

    def complete(self, attended: Tensor) -> Tensor:
        return attended

    def finish(self, tokens: Tensor, grid_hw: tuple[int, int] | None = None) -> Tensor:
        h, w = grid_hw or self.grid_hw
        cells = tokens[:, 1:] if tokens.shape[1] == h * w + 1 else tokens
        vectors = F.normalize(cells.float(), dim=-1)
        return vectors.view(len(vectors), h, w, -1)


class AttentionPool(nn.Module):
    """The mean of all cells asks, the cells answer: (B, C, h, w) -> (B, D)."""

    def __init__(self, side: int, channels: int, heads: int, embed_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.empty(1 + side * side, channels))
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, embed_dim)

    def open(self, cells: Tensor, positions: str, kept: Mapping[int, Tensor]) -> OpenPool:
        """Cells (B, C, h, w) -> tokens with their mean before them, and q, k, v of all."""
        grid_hw = (cells.shape[2], cells.shape[3])
        x = cells.float().flatten(2).mT
        x = torch.cat([x.mean(1, keepdim=True), x], 1)
        x = x + resize_positions(self.positional_embedding, grid_hw, positions)
        q, k, v = (
            proj(x.to(proj.weight.dtype)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        return OpenPool(x, q, k, v, grid_hw, kept, {}, self)

    def forward(self, cells: Tensor, positions: str) -> Tensor:
        block = self.open(cells, positions, {})
        pooled = F.scaled_dot_product_attention(block.q[:, :, :1], block.k, block.v)
        return block.project(pooled)[:, 0].float()


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1; a stride is an average pooling after the 3x3 convolution."""

    def __init__(self, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        out = planes * 4
        self.conv1 = nn.Conv2d(channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.stride = stride
        self.downsample: nn.Sequential | None = None
        if stride > 1 or channels != out:
            shortcut: OrderedDict[str, nn.Module] = OrderedDict()
            shortcut["-1"] = nn.AvgPool2d(stride)
            shortcut["0"] = nn.Conv2d(channels, out, 1, bias=False)
            shortcut["1"] = nn.BatchNorm2d(out)
            self.downsample = nn.Sequential(shortcut)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        if self.stride > 1:
            out = F.avg_pool2d(out, self.stride)
        out = self.bn3(self.conv3(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """Normalised pixels (B, 3, H, W) of any size -> cells of 32 pixels."""

    num_blocks = 1  # with attention: the pooling

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv1 = nn.Conv2d(3, width // 2, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, 1, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        channels = width
        for i, count in enumerate(config.blocks):
            planes = width * 2**i
            layer = [_Bottleneck(channels, planes, 2 if i else 1)]
            channels = planes * 4
            layer += [_Bottleneck(channels, planes, 1) for _ in range(count - 1)]
            self.add_module(f"layer{i + 1}", nn.Sequential(*layer))
        self.attnpool = AttentionPool(config.image // 32, channels, config.heads, config.embed_dim)

    def cells(self, pixels: Tensor, keep: Collection[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the last layer's cells, (B, C, h, w), and those after the layers to keep."""
        x = pixels.to(self.conv1.weight.dtype)
        for i in (1, 2, 3):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        x = F.avg_pool2d(x, 2)
        kept = {}
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
            if i in keep:
                kept[i] = x
        return x, kept

    def trunk(
        self,
        pixels: Tensor,
        positions: str,
        keep: Collection[int] = (),
        attention: Collection[int] = (),
    ) -> OpenPool:
        """Run the network up to its attention pooling, and open that one.

        keep: of which of the four layers, counted from 0, to keep the cells, (B, C, h, w).
        Raises OptionError where attention maps are asked for: there are none before the pooling.
        """
        if attention:
            raise OptionError(
                "a ResNet has no attention maps before its last layer; use a ViT encoder for this"
            )
        cells, kept = self.cells(pixels, keep)
        return self.attnpool.open(cells, positions, kept)

    def forward(self, pixels: Tensor, positions: str = "size") -> Tensor:
        """Return CLIP's vector of each picture, (B, D), not normalised."""
        out: Tensor = self.attnpool(self.cells(pixels)[0], positions)
        return out
