"""The picture side's backbone: MobileNetV2 1.0 (Sandler et al. 2018), batch norm folded in.

TensorFlow's SAME padding is kept, so that weights published for TensorFlow give the same numbers:
a 3x3 convolution of stride 2 pads one row and column behind the picture when its side is even, and
one on each side when it is odd.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FROZEN_BLOCKS", "MobileNetV2"]

# (expansion, channels, blocks, stride): table 2 of the paper.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FROZEN_BLOCKS = 6  # the blocks up to stride 8 keep their ImageNet weights while training


def _same(x: Tensor, stride: int) -> Tensor:
    """TensorFlow's SAME padding for a 3x3 kernel of stride 2; stride 1 pads inside the layer."""
    if stride == 1:
        return x
    h, w = x.shape[-2:]
    top, left = h % 2, w % 2
    return F.pad(x, (left, 1, top, 1))


def _relu6(x: Tensor) -> Tensor:
    """In place: it is only ever applied to a fresh output of a convolution."""
    return F.relu6(x, inplace=True)


class _Block(nn.Module):
    """Inverted residual: widen (1x1), depthwise 3x3, narrow (1x1, linear)."""

    def __init__(self, width: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = width * expansion
        self.stride, self.residual = stride, stride == 1 and width == out
        self.widen = nn.Conv2d(width, hidden, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride, int(stride == 1), groups=hidden)
        self.narrow = nn.Conv2d(hidden, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.widen is None else _relu6(self.widen(x))
        y = self.narrow(_relu6(self.depthwise(_same(y, self.stride))))
        out: Tensor = x + y if self.residual else y
        return out


class MobileNetV2(nn.Module):
    """Pixels (B, 3, H, W) in [-1, 1] -> maps at strides 4, 8, 16 and 32 (24, 32, 96, 1280 wide)."""

    widths = (24, 32, 96, 1280)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2)
        blocks, width = [], 32
        for expansion, out, count, stride in _STAGES:
            for i in range(count):
                blocks.append(_Block(width, out, stride if i == 0 else 1, expansion))
                width = out
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Conv2d(width, 1280, 1)

    def low(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The frozen part: maps at strides 4 and 8."""
        x = _relu6(self.stem(_same(pixels, 2)))
        for block in self.blocks[:3]:
            x = block(x)
        fine = x
        for block in self.blocks[3:FROZEN_BLOCKS]:
            x = block(x)
        return fine, x

    def high(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From the map at stride 8 on: maps at strides 16 and 32."""
        for block in self.blocks[FROZEN_BLOCKS:13]:
            x = block(x)
        middle = x
        for block in self.blocks[13:]:
            x = block(x)
        return middle, _relu6(self.head(x))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        fine, low = self.low(pixels)
        return fine, low, *self.high(low)
