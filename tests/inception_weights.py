"""Seeded weights for Inception v3, and pictures: what golden features were made of."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def seeded(like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A value for every entry of a state dict, from its name: activations stay of one size."""
    out = {}
    for name, value in like.items():
        draw = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        if value.dtype == torch.int64:
            out[name] = torch.zeros_like(value)
            continue
        noise = torch.randn(value.shape, generator=draw)
        if name.endswith("conv.weight"):
            out[name] = noise * (2 / value[0].numel()) ** 0.5
        elif name.endswith("running_var"):
            out[name] = 1 + 0.2 * noise.abs()
        elif name.endswith("bn.weight"):
            out[name] = 1 + 0.1 * noise
        else:
            out[name] = 0.1 * noise
    return out


def pictures() -> NDArray[np.uint8]:
    """Two pictures, (2, 75, 110, 3) uint8."""
    y, x = np.mgrid[:75, :110]
    planes = [(x * (3 + c) + y * (5 - c) + x * y // (7 + 2 * c)) % 256 for c in range(3)]
    one = np.stack(planes, -1).astype(np.uint8)
    other = np.stack([2 * x, 3 * y, x + y], -1) % 256
    return np.stack([one, other.astype(np.uint8)])
