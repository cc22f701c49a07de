"""Readouts of the last attention, and several layers as one set of features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import clip_weights
from tests.close import assert_close
from torch import Tensor

from lexiseg.checkpoints import resolve
from lexiseg.device import pick
from lexiseg.errors import OptionError, UnknownName
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.encoder import ClipEncoder, from_checkpoint
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.vision import OpenVitBlock
from lexiseg.stages.attention import (
    READOUTS,
    combined,
    kept_for,
    layered,
    naclip,
    nearness,
    readout,
    vanilla,
)
from lexiseg.stages.clip_windows import WindowSettings, encode_windows

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


LAYERS = (1, 3, 4)  # of four


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ClipEncoder:
    folder = clip_weights.write_openclip(tmp_path_factory.mktemp("weights") / "clip")
    return from_checkpoint(resolve(folder), pick("cpu", "fp32"))


def picture(height: int = 48, width: int = 80) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=generator)


@torch.inference_mode()
def obvious(encoder: ClipEncoder, rgb: torch.Tensor, weights: tuple[float, ...]) -> np.ndarray:
    """Block after block; then a cell, a layer at a time: norm, projection, length 1, mean."""
    net = encoder.net.visual
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    pixels = ((rgb.float() / 255 - mean) / std).permute(0, 3, 1, 2)
    tokens, (h, w) = net.embed(pixels, "size")  # type: ignore[operator]
    layers = []
    for block in net.blocks:  # type: ignore[union-attr]
        tokens = block(tokens)
        layers.append(tokens)
    out = np.zeros((len(rgb), h, w, clip_weights.EMBED), np.float64)
    for b in range(len(rgb)):
        for i in range(h):
            for j in range(w):
                for layer, weight in zip(LAYERS, weights, strict=True):
                    x = layers[layer - 1][b, 1 + i * w + j].double().numpy()
                    x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
                    x = x * net.ln_post.weight.double().numpy() + net.ln_post.bias.double().numpy()  # type: ignore[union-attr]
                    x = x @ net.proj.double().numpy()  # type: ignore[union-attr]
                    out[b, i, j] += weight * x / np.linalg.norm(x)
                out[b, i, j] /= np.linalg.norm(out[b, i, j])
    return out


@pytest.mark.parametrize("weights", [None, (3.0, 0.5, 2.0)])
def test_layers_are_read_and_averaged_as_the_slow_way_does(
    encoder: ClipEncoder, weights: tuple[float, ...] | None
) -> None:
    rgb = picture()
    block = encoder.trunk(rgb, positions="size", keep=kept_for(LAYERS))
    features = layered(block, vanilla, LAYERS)
    assert features.shape == (2, 3, 3, 5, clip_weights.EMBED)
    assert (features[:, 0] - features[:, 1]).abs().max() > 0.1  # layers differ
    want = obvious(encoder, rgb, weights or (1.0, 1.0, 1.0))
    np.testing.assert_allclose(combined(features, weights).numpy(), want, atol=1e-5)


def test_the_last_layer_alone_is_the_readout(encoder: ClipEncoder) -> None:
    block = encoder.trunk(picture())
    assert block.index == 3
    alone = combined(layered(block, naclip, (4,)))
    torch.testing.assert_close(alone, block.finish(naclip(block)))


def test_windows_have_layers_too(encoder: ClipEncoder) -> None:
    rgb = picture(70, 110)[0].numpy()
    how = WindowSettings(short_side=64, crop=64, stride=32)
    seen = encode_windows(encoder, rgb, WindowSettings(64, 64, 32, layers=LAYERS), naclip)
    plain = encode_windows(encoder, rgb, how, naclip)
    assert seen.cells.shape == plain.cells.shape
    assert (seen.cells - plain.cells).abs().max() > 0.05
    last = encode_windows(encoder, rgb, WindowSettings(64, 64, 32, layers=(4,)), naclip)
    torch.testing.assert_close(last.cells, plain.cells)


def test_wrong_layers_are_refused(encoder: ClipEncoder) -> None:
    block = encoder.trunk(picture())
    with pytest.raises(OptionError, match="there is no layer 5: the encoder has 1 to 4"):
        layered(block, naclip, (5,))
    with pytest.raises(OptionError, match="count from 1, and name each once"):
        kept_for((0, 3))
    with pytest.raises(OptionError, match="count from 1, and name each once"):
        kept_for((3, 3))
    with pytest.raises(OptionError, match="no layers are given"):
        layered(block, naclip, ())
    features = torch.ones(1, 2, 1, 1, 3)
    for weights in ((1.0,), (1.0, -1.0), (0.0, 0.0)):
        with pytest.raises(OptionError, match="the weights of 2 layers"):
            combined(features, weights)
