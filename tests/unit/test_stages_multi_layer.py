"""Several layers at once, against a slow way that computes every cell by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests import clip_weights

from lexiseg.checkpoints import resolve
from lexiseg.device import pick
from lexiseg.errors import OptionError
from lexiseg.models.clip.encoder import ClipEncoder, from_checkpoint
from lexiseg.stages.attention import naclip, vanilla
from lexiseg.stages.clip_windows import WindowSettings, encode_windows
from lexiseg.stages.multi_layer import combined, kept_for, layered

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
    tokens, (h, w) = net._embed(pixels, "size")  # type: ignore[operator]
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
