"""Inception v3 as the Fréchet distance is computed with it: pictures to 2048 features.

The net of Szegedy et al. (2015) with the weights of TensorFlow's FID code, in the file that
pytorch-fid published (pt_inception-2015-12-05-6726825d.pth). It differs from torchvision's net:
means leave padding out, the last block takes a maximum, and pixels are scaled to -1 to 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.errors import CheckpointError, WeightsMissing

__all__ = ["Inception", "build", "load_inception"]

SIDE = 299  # pixels, what pictures are scaled to


class Inception:
    """Features of pictures, and the file that they come from.

    name, sha256: of the weights.
    """

    def __init__(self, net: nn.Module, name: str, sha256: str) -> None:
        self.net, self.name, self.sha256 = net.eval(), name, sha256

    @torch.inference_mode()
    def pooled(self, rgb: Tensor) -> Tensor:
        """Return the features of pictures, (B, 2048) float32; rgb: (B, H, W, 3) uint8."""
        pixels = rgb.permute(0, 3, 1, 2).float() / 255
        pixels = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", align_corners=False)
        out: Tensor = self.net(2 * pixels - 1)
        return out.mean((2, 3))


def load_inception(path: str | Path) -> Inception:
    """Load the net from a file. Raises WeightsMissing, CheckpointError."""
    path = Path(path)
    if not path.is_file():
        raise WeightsMissing(
            f"{str(path)!r} is not a file; give pytorch-fid's "
            "pt_inception-2015-12-05-6726825d.pth (github.com/mseitzer/pytorch-fid, releases)"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        net = build()
        there = {name: value for name, value in state.items() if not name.startswith(("fc", "Aux"))}
        net.load_state_dict(there, strict=True)
    except Exception as error:  # torch raises many kinds for files that are none of its own
        reason = " ".join(str(error).split())[:150]
        raise CheckpointError(
            f"{str(path)!r} is not pytorch-fid's Inception ({reason}); take its published file"
        ) from error
    return Inception(net, path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def build() -> nn.Module:
    """Return the net without weights, up to the features before their mean."""
    net = nn.Sequential()
    for name, module in (
        ("Conv2d_1a_3x3", _Conv(3, 32, 3, stride=2)),
        ("Conv2d_2a_3x3", _Conv(32, 32, 3)),
        ("Conv2d_2b_3x3", _Conv(32, 64, 3, padding=1)),
        ("maxpool1", nn.MaxPool2d(3, 2)),
        ("Conv2d_3b_1x1", _Conv(64, 80, 1)),
        ("Conv2d_4a_3x3", _Conv(80, 192, 3)),
        ("maxpool2", nn.MaxPool2d(3, 2)),
        ("Mixed_5b", _fives(192, 32)),
        ("Mixed_5c", _fives(256, 64)),
        ("Mixed_5d", _fives(288, 64)),
        ("Mixed_6a", _smaller()),
        ("Mixed_6b", _sevens(128)),
        ("Mixed_6c", _sevens(160)),
        ("Mixed_6d", _sevens(160)),
        ("Mixed_6e", _sevens(192)),
        ("Mixed_7a", _last_smaller()),
        ("Mixed_7b", _Wide(1280, largest=False)),
        ("Mixed_7c", _Wide(2048, largest=True)),
    ):
        net.add_module(name, module)
    return net


class _Conv(nn.Module):
    """A convolution, batch normalisation, and ReLU."""

    def __init__(
        self,
        given: int,
        made: int,
        size: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, made, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(made, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Mean(nn.Module):
    """The mean of 3 x 3 places, without padding."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _Branches(nn.Module):
    """Chains of steps on one input, side by side; a step is a module of its own name, or a pool."""

    def __init__(
        self, steps: Mapping[str, nn.Module], chains: Sequence[Sequence[str | nn.Module]]
    ) -> None:
        super().__init__()
        for name, step in steps.items():
            self.add_module(name, step)
        self._chains = chains

    def forward(self, x: Tensor) -> Tensor:
        out = []
        for chain in self._chains:
            y = x
            for step in chain:
                y = self.get_submodule(step)(y) if isinstance(step, str) else step(y)
            out.append(y)
        return torch.cat(out, 1)


def _fives(given: int, pooled: int) -> nn.Module:
    """1 x 1, 5 x 5, twice 3 x 3, and a mean."""
    steps = {
        "branch1x1": _Conv(given, 64, 1),
        "branch5x5_1": _Conv(given, 48, 1),
        "branch5x5_2": _Conv(48, 64, 5, padding=2),
        "branch3x3dbl_1": _Conv(given, 64, 1),
        "branch3x3dbl_2": _Conv(64, 96, 3, padding=1),
        "branch3x3dbl_3": _Conv(96, 96, 3, padding=1),
        "branch_pool": _Conv(given, pooled, 1),
    }
    chains: tuple[list[str | nn.Module], ...] = (
        ["branch1x1"],
        ["branch5x5_1", "branch5x5_2"],
        ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"],
        [_Mean(), "branch_pool"],
    )
    return _Branches(steps, chains)


def _smaller() -> nn.Module:
    """Half the side: 3 x 3, twice 3 x 3, and a maximum."""
    steps = {
        "branch3x3": _Conv(288, 384, 3, stride=2),
        "branch3x3dbl_1": _Conv(288, 64, 1),
        "branch3x3dbl_2": _Conv(64, 96, 3, padding=1),
        "branch3x3dbl_3": _Conv(96, 96, 3, stride=2),
    }
    chains = (
        ["branch3x3"],
        [f"branch3x3dbl_{i}" for i in (1, 2, 3)],
        [nn.MaxPool2d(3, 2)],
    )
    return _Branches(steps, chains)


def _sevens(width: int) -> nn.Module:
    """1 x 1, 7 x 7 in two steps, in four, and a mean."""

    def wide(made: int) -> nn.Module:
        return _Conv(width, made, (1, 7), padding=(0, 3))

    def high(made: int) -> nn.Module:
        return _Conv(width, made, (7, 1), padding=(3, 0))

    steps = {
        "branch1x1": _Conv(768, 192, 1),
        "branch7x7_1": _Conv(768, width, 1),
        "branch7x7_2": wide(width),
        "branch7x7_3": high(192),
        "branch7x7dbl_1": _Conv(768, width, 1),
        "branch7x7dbl_2": high(width),
        "branch7x7dbl_3": wide(width),
        "branch7x7dbl_4": high(width),
        "branch7x7dbl_5": wide(192),
        "branch_pool": _Conv(768, 192, 1),
    }
    chains: tuple[list[str | nn.Module], ...] = (
        ["branch1x1"],
        [f"branch7x7_{i}" for i in (1, 2, 3)],
        [f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)],
        [_Mean(), "branch_pool"],
    )
    return _Branches(steps, chains)


def _last_smaller() -> nn.Module:
    """Half the side: 3 x 3, 7 x 7 before it, and a maximum."""
    steps = {
        "branch3x3_1": _Conv(768, 192, 1),
        "branch3x3_2": _Conv(192, 320, 3, stride=2),
        "branch7x7x3_1": _Conv(768, 192, 1),
        "branch7x7x3_2": _Conv(192, 192, (1, 7), padding=(0, 3)),
        "branch7x7x3_3": _Conv(192, 192, (7, 1), padding=(3, 0)),
        "branch7x7x3_4": _Conv(192, 192, 3, stride=2),
    }
    chains = (
        ["branch3x3_1", "branch3x3_2"],
        [f"branch7x7x3_{i}" for i in (1, 2, 3, 4)],
        [nn.MaxPool2d(3, 2)],
    )
    return _Branches(steps, chains)


class _Wide(nn.Module):
    """The last two blocks, whose 3 x 3 convolutions end in 1 x 3 and 3 x 1 side by side.

    largest: the last branch takes a maximum, not a mean.
    """

    def __init__(self, given: int, *, largest: bool) -> None:
        super().__init__()
        self.branch1x1 = _Conv(given, 320, 1)
        self.branch3x3_1 = _Conv(given, 384, 1)
        self.branch3x3_2a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = _Conv(given, 448, 1)
        self.branch3x3dbl_2 = _Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = _Conv(given, 192, 1)
        self._pool = nn.MaxPool2d(3, 1, 1) if largest else _Mean()

    def forward(self, x: Tensor) -> Tensor:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(single),
                self.branch3x3_2b(single),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(self._pool(x)),
            ],
            1,
        )
