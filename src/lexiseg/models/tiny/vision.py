"""The picture side of the bundled model: backbone, context, and a light top-down decoder.

The backbone is MobileNetV2 1.0 (Sandler et al. 2018), batch norm folded in. TensorFlow's SAME
padding is kept, so that weights published for TensorFlow give the same numbers: a 3x3 convolution
of stride 2 pads one row and column behind the picture when its side is even, and one on each side
when it is odd.

Maps at strides 32, 16, 8 and 4 meet on the way down (feature pyramid); transformer layers at
stride 16 let every place see the whole picture. The result is a unit-length feature for every 4x4
pixels, in the space of the projected words.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "HEADS", "LOW_BLOCKS", "ConvBlock", "MobileNetV2", "VisionConfig", "VisionMaps", "VisionNet",
]  # fmt: skip


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
LOW_BLOCKS = 6  # the blocks up to stride 8
HEADS = ("head", "words")  # the layers of a VisionNet that make vectors of what others decode


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
        """Up to stride 8: maps at strides 4 and 8."""
        x = _relu6(self.stem(_same(pixels, 2)))
        for block in self.blocks[:3]:
            x = block(x)
        fine = x
        for block in self.blocks[3:LOW_BLOCKS]:
            x = block(x)
        return fine, x

    def high(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From the map at stride 8 on: maps at strides 16 and 32."""
        for block in self.blocks[LOW_BLOCKS:13]:
            x = block(x)
        middle = x
        for block in self.blocks[13:]:
            x = block(x)
        return middle, _relu6(self.head(x))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        fine, low = self.low(pixels)
        return fine, low, *self.high(low)


@dataclass(frozen=True)
class VisionConfig:
    """Widths of the decoder; stored beside the weights."""

    dim: int = 256
    context_dim: int = 256
    context_layers: int = 4
    heads: int = 8
    mlp: int = 768
    middle_dim: int = 160
    fine_dim: int = 96
    text_dim: int = 384


@dataclass(frozen=True, eq=False)
class VisionMaps:
    """What features and masks are made of: decoded places (B, H/4, W/4, fine_dim), and the
    backbone's map of that size, (B, 24, H/4, W/4)."""

    decoded: Tensor
    fine: Tensor


class _Lateral(nn.Module):
    """Channels first -> last, each place normalised, then a linear map (B, h, w, out)."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.norm(x.permute(0, 2, 3, 1)))
        return out


class _Depthwise(nn.Module):
    """A depthwise convolution on channels-last values (B, h, w, D)."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return out


class ConvBlock(nn.Module):
    """Depthwise, norm, wide pointwise, narrow pointwise, residual (ConvNeXt, Liu et al. 2022)."""

    def __init__(self, dim: int, mlp: int, kernel: int = 5) -> None:
        super().__init__()
        self.depthwise = _Depthwise(dim, kernel)
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, mlp)
        self.down = nn.Linear(mlp, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.down(F.gelu(self.up(self.norm(self.depthwise(x)))))
        return out


class _ContextBlock(nn.Module):
    """Pre-norm attention over all places; a depthwise convolution tells where a place lies.

    The softmax is sharpened by log(places) / log(144), 144 being the places of a training crop, so
    that larger pictures do not wash it out (Su 2021, scale-invariant attention).
    """

    def __init__(self, dim: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.heads = heads
        self.place = _Depthwise(dim, 3)
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, mlp)
        self.down = nn.Linear(mlp, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.place(x)
        b, h, w, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, h * w, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        sharpen = max(1.0, float(torch.log(torch.tensor(float(h * w))) / 4.97))
        a = F.scaled_dot_product_attention(q * sharpen, k, v)
        x = x + self.out(a.transpose(1, 2).reshape(b, h, w, d))
        out: Tensor = x + self.down(F.gelu(self.up(self.norm2(x))))
        return out


def _grow(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear to the height and width of ``like``; both channels last."""
    y = F.interpolate(x.permute(0, 3, 1, 2), like.shape[1:3], mode="bilinear", align_corners=False)
    return y.permute(0, 2, 3, 1)


class VisionNet(nn.Module):
    """Pixels (B, 3, H, W) in [-1, 1], sides in multiples of 32 -> features (B, H/4, W/4, D)."""

    def __init__(self, config: VisionConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or VisionConfig()
        self.backbone = MobileNetV2()
        fine, low, middle, coarse = MobileNetV2.widths
        self.from_coarse = _Lateral(coarse, c.context_dim)
        self.from_middle = _Lateral(middle, c.context_dim)
        self.context = nn.ModuleList(
            _ContextBlock(c.context_dim, c.heads, c.mlp) for _ in range(c.context_layers)
        )
        self.to_low = nn.Linear(c.context_dim, c.middle_dim)
        self.from_low = _Lateral(low, c.middle_dim)
        self.low_block = ConvBlock(c.middle_dim, 3 * c.middle_dim)
        self.to_fine = nn.Linear(c.middle_dim, c.fine_dim)
        self.from_fine = _Lateral(fine, c.fine_dim)
        self.fine_block = ConvBlock(c.fine_dim, 2 * c.fine_dim)
        self.norm = nn.LayerNorm(c.fine_dim)
        self.head = nn.Linear(c.fine_dim, c.dim)
        # The words' side of the shared space, and the temperature that both were trained with.
        self.words = nn.Linear(c.text_dim, c.dim)
        self.log_scale = nn.Parameter(torch.tensor(2.7))

    def decode(self, fine: Tensor, low: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """The backbone's maps -> (B, H/4, W/4, fine_dim), before the head."""
        x = self.from_middle(middle)
        x = x + _grow(self.from_coarse(coarse), x)
        for block in self.context:
            x = block(x)
        y = self.from_low(low)
        y = self.low_block(y + _grow(self.to_low(x), y))
        z = self.from_fine(fine)
        return self.fine_block(z + _grow(self.to_fine(y), z))  # type: ignore[no-any-return]

    def maps(self, pixels: Tensor) -> VisionMaps:
        """Run backbone and decoder: all that a picture costs once."""
        fine, low, middle, coarse = self.backbone(pixels)
        return VisionMaps(self.decode(fine, low, middle, coarse), fine)

    def embed(self, decoded: Tensor) -> Tensor:
        """Decoded places (..., fine_dim) -> features (..., D), unit length."""
        return F.normalize(self.head(self.norm(decoded)), dim=-1)

    def project(self, meanings: Tensor) -> Tensor:
        """Meanings of words (K, 384) -> word vectors (K, D), unit length."""
        return F.normalize(self.words(meanings), dim=-1)

    def scale(self) -> Tensor:
        """What cosines are multiplied with before the softmax: at most 50."""
        return self.log_scale.exp().clamp(max=50.0)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.embed(self.maps(pixels).decoded)
