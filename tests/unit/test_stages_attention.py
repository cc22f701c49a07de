"""Readouts against loops over heads, queries and keys, written from the formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import clip_weights
from tests.close import assert_close
from torch import Tensor

from lexiseg.errors import UnknownName
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.vision import OpenVitBlock
from lexiseg.stages.attention import READOUTS, nearness, readout

Array = NDArray[np.float64]
GRID = (3, 5)


@pytest.fixture(scope="module", params=["vit", "resnet"])
def block(request: pytest.FixtureRequest) -> OpenVitBlock:
    torch.manual_seed(3)
    if request.param == "vit":
        state, cell = clip_weights.vit_state(6, width=128, layers=2), 16
    else:
        state, cell = clip_weights.resnet_state(6), 32
    net = Clip.of(ClipConfig.of(state, "quick-gelu"), state).visual
    opened = net.trunk(torch.randn(2, 3, GRID[0] * cell, GRID[1] * cell), "scale")
    assert opened.grid_hw == GRID
    assert opened.q.shape[1] > 1  # several heads
    return opened  # type: ignore[return-value]


def slow(block: OpenVitBlock, weigh: Callable[[Array, Array, int, float], Array]) -> Tensor:
    """Attention by loops; weigh(q, k, t, d) gives token t's weights of all tokens."""
    b, heads, t, d = block.q.shape
    q, k, v = (x.double().numpy() for x in (block.q, block.k, block.v))
    out = np.zeros((b, heads, t, d))
    for picture in range(b):
        for head in range(heads):
            for token in range(t):
                weights = weigh(q[picture, head], k[picture, head], token, d**0.5)
                for other in range(t):
                    out[picture, head, token] += weights[other] * v[picture, head, other]
    return block.project(torch.from_numpy(out).float())


def soft(values: Array) -> Array:
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum())


def near(t: int) -> Array:
    """The Gaussian of distances from token t, 0 for the first token."""
    out = np.zeros(1 + GRID[0] * GRID[1])
    if t > 0:
        i, j = divmod(t - 1, GRID[1])
        for m in range(GRID[0]):
            for n in range(GRID[1]):
                out[1 + m * GRID[1] + n] = np.exp(-((i - m) ** 2 + (j - n) ** 2) / (2 * 5**2))
    return out


WEIGHTS: dict[str, Callable[[Array, Array, int, float], Array]] = {
    "vanilla": lambda q, k, t, d: soft(q[t] @ k.T / d),
    "maskclip": lambda q, k, t, d: np.eye(len(q))[t],
    "sclip": lambda q, k, t, d: soft(q[t] @ q.T / d) + soft(k[t] @ k.T / d),
    "clearclip": lambda q, k, t, d: soft(q[t] @ q.T / d),
    "naclip": lambda q, k, t, d: soft(k[t] @ k.T / d + near(t)),
}
COMPLETE = ("vanilla", "sclip")  # the residual connection and the MLP are kept


@pytest.mark.parametrize("name", sorted(READOUTS))
def test_a_readout_is_its_formula(block: OpenVitBlock, name: str) -> None:
    wanted = slow(block, WEIGHTS[name])
    if name in COMPLETE:
        wanted = block.complete(wanted)
    got = readout(name)(block)
    assert_close(got, wanted)


def test_readouts_differ(block: OpenVitBlock) -> None:
    maps = [block.finish(read(block)) for read in READOUTS.values()]
    for i, one in enumerate(maps):
        assert one.shape == (2, *GRID, 48)
        torch.testing.assert_close(one.norm(dim=-1), torch.ones(2, *GRID))
        for other in maps[:i]:
            assert float((one - other).abs().max()) > 0.01


def test_the_first_token_may_be_left_out(block: OpenVitBlock) -> None:
    tokens = readout("clearclip")(block)
    assert torch.equal(block.finish(tokens), block.finish(tokens[:, 1:]))


def test_nearness_by_hand() -> None:
    got = nearness((2, 3), std=1.0)
    assert got.shape == (7, 7)
    assert got[0].sum() == got[:, 0].sum() == 0
    # From the first cell: itself, one right, two right; one below, and so on.
    wanted = [0, 0.5, 2, 0.5, 1, 2.5]
    torch.testing.assert_close(got[1, 1:], torch.exp(-torch.tensor(wanted)))


def test_an_unknown_readout_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'sclip'"):
        readout("sclib")
