"""CLIPSeg's decoder on every backbone and size, against torch's own transformer layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from benchmarks.drawn import Sizes, clipseg_state, vit_state
from tests import clip_weights
from torch import Tensor, nn

from lexiseg.checkpoints import IMAGENET_PIXELS, resolve
from lexiseg.device import pick
from lexiseg.errors import CheckpointError
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.encoder import ClipEncoder
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.tokenizer import tokenizer
from lexiseg.models.clipseg.config import DecoderConfig
from lexiseg.models.clipseg.model import ClipSeg, from_checkpoint
from lexiseg.models.clipseg.tower import cell_of, default_layers, widths_of
from lexiseg.models.clipseg.weights import fill

MLP = 96


def clip_of(state: dict[str, Tensor]) -> ClipEncoder:
    net = Clip.of(ClipConfig.of(state, "quick-gelu"), state)
    return ClipEncoder(net, tokenizer(), IMAGENET_PIXELS, pick("cpu", "fp32"), name="small")


def model_of(state: dict[str, Tensor], reduce_dim: int, refined: bool) -> ClipSeg:
    clip = clip_of(state)
    vision = clip.net.config.vision
    layers = default_layers(vision)
    config = DecoderConfig(
        layers=layers, widths=widths_of(vision, layers), reduce_dim=reduce_dim,
        cond_dim=vision.embed_dim, cell=cell_of(vision), mlp=MLP, refined=refined,
    )  # fmt: skip
    drawn = clipseg_state(
        reduce_dim, refined=False, steps=len(layers), width=1, cond=config.cond_dim,
        cell=config.cell, mlp=MLP,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    for i, width in enumerate(reversed(config.widths)):
        drawn[f"reduces.{i}.weight"] = torch.randn(reduce_dim, width, generator=generator) / width
    decoder = fill(DecoderConfig(**{**vars(config), "refined": False}), drawn, "drawn")
    if refined:
        with_convolutions = ClipSeg(
            clip, _refined(config, drawn), pick("cpu", "fp32"), name="drawn"
        )
        return with_convolutions
    return ClipSeg(clip, decoder, pick("cpu", "fp32"), name="drawn")


def _refined(config: DecoderConfig, drawn: dict[str, Tensor]) -> Any:
    from lexiseg.models.clipseg.decoder import Decoder

    torch.manual_seed(2)
    decoder = Decoder(config).eval().requires_grad_(False)
    own = {name: value for name, value in drawn.items() if not name.startswith("trans_conv")}
    missing = decoder.load_state_dict(own, strict=False)
    assert not missing.unexpected_keys
    assert all(name.startswith("trans_conv") for name in missing.missing_keys)
    return decoder


def slow(model: ClipSeg, kept: list[Tensor], grid_hw: tuple[int, int], vector: Tensor) -> Tensor:
    """One prompt by torch's own layers; ``kept`` shallowest first, each (1, T, W)."""
    decoder, config = model.decoder, model.decoder.config
    x = torch.zeros(())
    for i, values in enumerate(reversed(kept)):
        x = F.linear(values, decoder.reduces[i].weight, decoder.reduces[i].bias) + x  # type: ignore[arg-type]
        if i == 0:
            x = decoder.film_mul(vector) * x + decoder.film_add(vector)
        layer = nn.TransformerEncoderLayer(
            config.reduce_dim, config.heads, MLP, dropout=0.1, batch_first=True
        ).eval()
        layer.load_state_dict(decoder.blocks[i].state_dict(), strict=True)
        # Outside of torch's fast path, which rounds otherwise.
        with torch.enable_grad():
            x = layer(x).detach()
    cells = x[:, -grid_hw[0] * grid_hw[1] :].mT.reshape(1, config.reduce_dim, *grid_hw)
    return decoder.trans_conv(cells)[0, 0].detach()


BACKBONES = {
    "vit-b32": lambda: vit_state(Sizes(width=64, layers=5, patch=32, image=96, embed=48), 4),
    "vit-b16": lambda: clip_weights.vit_state(2),
    "rn50x4": lambda: clip_weights.resnet_state(2),
}


@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize(
    ("backbone", "reduce_dim"), [("vit-b32", 16), ("vit-b16", 128), ("rn50x4", 64)]
)
def test_a_decoder_on_every_backbone(backbone: str, reduce_dim: int, refined: bool) -> None:
    model = model_of(BACKBONES[backbone](), reduce_dim, refined)
    side_hw = (96, 160)
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randn(1, 3, *side_hw, generator=generator)
    kept, grid_hw, classes = model.activations(pixels)
    cell = model.decoder.config.cell
    assert grid_hw == (side_hw[0] // cell, side_hw[1] // cell)
    assert kept[0].shape[1] == classes + grid_hw[0] * grid_hw[1]
    vectors = torch.randn(5, model.decoder.config.cond_dim, generator=generator)
    with torch.inference_mode():
        got = model.decoder(model.reduced(pixels), vectors)
    assert got.shape == (5, *side_hw)
    for one, vector in zip(got, vectors, strict=True):
        torch.testing.assert_close(one, slow(model, kept, grid_hw, vector), atol=1e-4, rtol=0)
    assert float((got[0] - got[1]).abs().max()) > 1e-2


def test_a_resnets_layers_are_brought_to_one_grid() -> None:
    """Finer layers by means of 2x2 cells, coarser ones bilinearly, checked on a gradient."""
    model = model_of(BACKBONES["rn50x4"](), 64, False)
    pixels = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    net = model.clip.net.visual
    raw: list[Tensor] = []
    hooks = [
        getattr(net, f"layer{i}").register_forward_hook(lambda *a: raw.append(a[2]))
        for i in (2, 3, 4)
    ]
    kept, grid_hw, classes = model.activations(pixels)
    for hook in hooks:
        hook.remove()
    assert (grid_hw, classes) == ((4, 6), 0)
    fine = raw[0].reshape(2, -1, 4, 2, 6, 2).mean((3, 5)).flatten(2).mT
    torch.testing.assert_close(kept[0], fine)
    torch.testing.assert_close(kept[1], raw[1].flatten(2).mT)
    # In the middle between four coarse cells weights are 9, 3, 3 and 1 of 16.
    coarse, at = raw[2][0, :, :2, :2], kept[2][0].mT.reshape(-1, 4, 6)[:, 1, 1]
    weights = torch.tensor([[9.0, 3.0], [3.0, 1.0]]) / 16
    torch.testing.assert_close(at, (coarse * weights).sum((1, 2)), atol=1e-4, rtol=0)


def test_a_picture_is_scaled_to_a_square_or_by_its_short_side() -> None:
    model = model_of(BACKBONES["vit-b16"](), 16, False)
    rgb = np.zeros((60, 100, 3), np.uint8)
    assert model.encode(rgb).work_hw == (352, 352)
    assert model.encode(rgb, side=96, stretch=False).work_hw == (96, 160)
    seen = model.encode(rgb, side=90)
    assert seen.work_hw == (96, 96)
    assert model.maps(seen, model.words(["a", "b"])).shape == (2, 96, 96)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = model_of(BACKBONES["vit-b16"](), 16, False)
    compute = pick("cpu", "fp32")
    state = dict(model.decoder.state_dict())

    def read(changed: dict[str, Tensor], name: str = "mine.pth") -> ClipSeg:
        torch.save(changed, tmp_path / name)
        return from_checkpoint(resolve(tmp_path / name), compute, lambda _: model.clip)

    with pytest.raises(CheckpointError, match="lacks"):
        read({name: v for name, v in state.items() if not name.startswith("film")})
    with pytest.raises(CheckpointError, match="layers"):
        read(state)  # blocks 3, 7 and 9 of a CLIP of four
    with pytest.raises(CheckpointError, match="does not fit"):
        fill(model.decoder.config, {**state, "more": torch.zeros(1)}, "mine")
    with pytest.raises(CheckpointError, match="another encoder"):
        from_checkpoint(resolve(tmp_path / "mine.pth"), compute, lambda _: object())
    with pytest.raises(CheckpointError, match="ascending"):
        DecoderConfig(layers=(9, 6, 3))
    with pytest.raises(CheckpointError, match="cannot be"):
        DecoderConfig(reduce_dim=30)
