"""The picture side of the bundled model: backbone, context, and a light top-down decoder.

Maps at strides 32, 16, 8 and 4 meet on the way down (feature pyramid); two transformer layers at
stride 16 let every place see the whole picture. The result is a unit-length feature for every
4x4 pixels, in the space of the projected words.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.models.tiny.backbone import MobileNetV2

__all__ = ["ConvBlock", "VisionConfig", "VisionMaps", "VisionNet"]


@dataclass(frozen=True)
class VisionConfig:
    """Widths of the decoder; stored beside the weights."""

    dim: int = 256
    context_dim: int = 256
    context_layers: int = 2
    heads: int = 8
    mlp: int = 768
    middle_dim: int = 128
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
