"""The attention-pooled ResNet against slow, obvious code in numpy, written from the paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import clip_weights
from tests.close import assert_close

from lexiseg.models.clip.blocks import resize_positions
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.model import Clip

Array = NDArray[np.float64]


def conv(x: Array, weight: Array, stride: int = 1) -> Array:
    """A convolution with padding so that stride 1 keeps the size: one product a place."""
    filters, _, size, _ = weight.shape
    edge = size // 2
    x = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    rows = (x.shape[1] - size) // stride + 1
    columns = (x.shape[2] - size) // stride + 1
    out = np.empty((filters, rows, columns))
    flat = weight.reshape(filters, -1)
    for i in range(rows):
        for j in range(columns):
            part = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
            out[:, i, j] = flat @ part.reshape(-1)
    return out


def pool(x: Array, size: int) -> Array:
    c, h, w = x.shape
    return x[:, : h // size * size, : w // size * size].reshape(
        c, h // size, size, w // size, size
    ).mean((2, 4))  # fmt: skip


class Slow:
    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        self.state = {name: value.double().numpy() for name, value in state.items()}

    def norm(self, x: Array, name: str) -> Array:
        g, b, mean, var = (
            self.state[f"visual.{name}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(var + 1e-5) * g + b

    def unit(self, x: Array, conv_name: str, norm_name: str, stride: int = 1) -> Array:
        return self.norm(conv(x, self.state[f"visual.{conv_name}.weight"], stride), norm_name)

    def bottleneck(self, x: Array, name: str, stride: int) -> Array:
        out = np.maximum(self.unit(x, f"{name}.conv1", f"{name}.bn1"), 0)
        out = np.maximum(self.unit(out, f"{name}.conv2", f"{name}.bn2"), 0)
        out = self.unit(pool(out, stride), f"{name}.conv3", f"{name}.bn3")
        if f"visual.{name}.downsample.0.weight" in self.state:
            x = self.unit(pool(x, stride), f"{name}.downsample.0", f"{name}.downsample.1")
        return np.maximum(out + x, 0)

    def cells(self, x: Array) -> Array:
        for i in (1, 2, 3):
            x = np.maximum(self.unit(x, f"conv{i}", f"bn{i}", 2 if i == 1 else 1), 0)
        x = pool(x, 2)
        for layer, count in enumerate((1, 2, 1, 1), 1):
            for block in range(count):
                x = self.bottleneck(x, f"layer{layer}.{block}", 2 if layer > 1 and not block else 1)
        return x

    def attend(self, x: Array, positions: Array) -> Array:
        """Every token's answer, (T, D): the first is CLIP's vector of the picture."""
        c = x.shape[0]
        tokens = np.concatenate([x.reshape(c, -1).mean(1)[None], x.reshape(c, -1).T]) + positions
        heads, d = c // 64, 64
        q, k, v = (
            tokens @ self.state[f"visual.attnpool.{n}_proj.weight"].T
            + self.state[f"visual.attnpool.{n}_proj.bias"]
            for n in "qkv"
        )
        out = np.empty_like(tokens)
        for head in range(heads):
            part = slice(head * d, (head + 1) * d)
            for t in range(len(tokens)):
                weights = np.exp(q[t, part] @ k[:, part].T / np.sqrt(d))
                out[t, part] = weights / weights.sum() @ v[:, part]
        weight = self.state["visual.attnpool.c_proj.weight"]
        bias = self.state["visual.attnpool.c_proj.bias"]
        return np.asarray(out @ weight.T + bias)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 128)])
def test_cells_and_pooling(height: int, width: int) -> None:
    state = clip_weights.resnet_state(4)
    net = Clip.of(ClipConfig.of(state, "quick-gelu"), state).visual
    assert net.num_blocks == 1
    x = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(5))
    slow = Slow(state)
    cells = slow.cells(x[0].double().numpy())
    grid = (height // 32, width // 32)
    assert cells.shape[1:] == grid
    places = state["visual.attnpool.positional_embedding"]
    table = resize_positions(places, grid, "size").double().numpy()
    wanted = slow.attend(cells, table)
    block = net.trunk(x, "size")
    whole = torch.nn.functional.scaled_dot_product_attention(block.q, block.k, block.v)
    got = block.complete(block.project(whole))[0]
    spread = float(np.abs(wanted - wanted.mean(0)).mean())
    assert spread > 0.05  # places differ, or wrong pooling would pass
    assert_close(got, wanted)
    assert_close(net(x, "size")[0], wanted[0])
