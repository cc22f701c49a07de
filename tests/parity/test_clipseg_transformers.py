"""CLIPSeg against transformers' CLIPSegForImageSegmentation on the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.drawn import Sizes, clipseg_state, clipseg_to_transformers, vit_state
from tests.close import assert_close
from torch import Tensor

from lexiseg.checkpoints import resolve
from lexiseg.device import pick
from lexiseg.errors import CheckpointError
from lexiseg.models.clip.tokenizer import tokenise, tokenizer
from lexiseg.models.clipseg.model import ClipSeg, from_checkpoint

SIZES = Sizes(width=128, layers=6, patch=16, image=224, embed=48)
LAYERS = (0, 2, 4)  # the last block is not needed: it must not be run, and its outputs not be read
HEADS = 2
MLP = 256
EPS = 5e-4  # sharp attention over 485 tokens, six blocks, a decoder
TEXTS = ["a cat", "a very long red train that stands in an old station", "sky, blue"]


def reference(reduce_dim: int, refined: bool) -> tuple[Any, dict[str, Any]]:
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    config = CLIPSegConfig(
        projection_dim=SIZES.embed, extract_layers=list(LAYERS), reduce_dim=reduce_dim,
        use_complex_transposed_convolution=refined, decoder_intermediate_size=MLP,
        decoder_num_attention_heads=4,
        vision_config={
            "hidden_size": SIZES.width, "intermediate_size": 4 * SIZES.width,
            "num_hidden_layers": SIZES.layers, "num_attention_heads": HEADS,
            "image_size": SIZES.image, "patch_size": SIZES.patch,
        },
        text_config={
            "hidden_size": SIZES.text_width, "intermediate_size": 4 * SIZES.text_width,
            "num_hidden_layers": SIZES.text_layers, "num_attention_heads": HEADS,
            "eos_token_id": 49407,
        },
        attn_implementation="eager",
    )  # fmt: skip
    model = CLIPSegForImageSegmentation(config).eval()
    decoder = clipseg_state(
        reduce_dim, refined=refined, steps=3, width=SIZES.width, cond=SIZES.embed,
        cell=SIZES.patch, seed=5, mlp=MLP,
    )  # fmt: skip
    clip = vit_state(SIZES, 3)
    for i in range(SIZES.layers):  # 485 tokens: attention is flatter than in small pictures
        clip[f"visual.transformer.resblocks.{i}.attn.in_proj_weight"][: 2 * SIZES.width] *= 1.15
    state = clipseg_to_transformers(clip, decoder)
    missing = model.load_state_dict(state, strict=True)
    assert not missing.missing_keys
    return model, {"state": state, "config": config, "decoder": decoder}


@pytest.fixture(scope="module", params=["rd64", "rd64-refined"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Their model, and ours, which reads the folder that theirs is saved as."""
    from safetensors.torch import save_file

    theirs, parts = reference(64, request.param.endswith("refined"))
    folder: Path = tmp_path_factory.mktemp("clipseg") / request.param
    folder.mkdir()
    save_file(parts["state"], folder / "model.safetensors")
    described = parts["config"].to_dict() | {"model_type": "clipseg"}
    (folder / "config.json").write_text(json.dumps(described, default=str))
    ours = from_checkpoint(resolve(folder), pick("cpu", "fp32"), lambda name: None)
    assert ours.name == request.param
    assert ours.decoder.config.layers == LAYERS
    return theirs, ours


def entropy(maps: Tensor) -> float:
    flat = maps.float().clamp_min(1e-12)
    return float(-(flat * flat.log()).sum(-1).mean() / torch.tensor(flat.shape[-1]).log())


def pictures(count: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.randn(count, 3, height, width, generator=generator)


def their_tokens() -> Tensor:
    ids = tokenise(tokenizer(), TEXTS, 77)
    padded = torch.full((len(ids), 77), 49407)
    for row, one in enumerate(ids):
        padded[row, : len(one)] = torch.tensor(one)
    return padded


@torch.no_grad()
def ours_on(model: ClipSeg, pixels: Tensor, vectors: Tensor) -> Tensor:
    return model.decoder(model.reduced(pixels), vectors)


@pytest.mark.parametrize("side", [352, 224])
def test_words_on_a_batch_of_pictures(pair: tuple[Any, ClipSeg], side: int) -> None:
    theirs, ours = pair
    x = pictures(3, side, side)
    with torch.no_grad():
        wanted = theirs(
            input_ids=their_tokens(), pixel_values=x, output_attentions=True,
            output_hidden_states=True,
        )  # fmt: skip
    attention = [*wanted.vision_model_output.attentions, *wanted.decoder_output.attentions]
    assert len(attention) >= SIZES.layers + 3
    entropies = [entropy(maps) for maps in attention]
    assert max(entropies) < 0.8
    vectors = ours.words(TEXTS)
    assert_close(vectors, wanted.conditional_embeddings)
    got = ours_on(ours, x, vectors)
    assert got.shape == (3, side, side)
    assert float(wanted.logits.std()) > 0.2  # a map that is flat would prove nothing
    assert 0.02 < float((wanted.logits > 0).float().mean()) < 0.98
    assert_close(got, wanted.logits, EPS)


def test_all_words_on_one_picture_are_the_picture_repeated(pair: tuple[Any, ClipSeg]) -> None:
    theirs, ours = pair
    x = pictures(1, 352, 352)
    with torch.no_grad():
        wanted = theirs(input_ids=their_tokens(), pixel_values=x.expand(3, -1, -1, -1)).logits
    got = ours_on(ours, x, ours.words(TEXTS))
    assert_close(got, wanted, EPS)
    assert float((got[0] - got[1]).abs().max()) > 0.1


@pytest.mark.parametrize("side", [352, 256])
def test_pictures_as_prompts(pair: tuple[Any, ClipSeg], side: int) -> None:
    theirs, ours = pair
    x, support = pictures(2, side, side), pictures(2, 352, 352).flip(0)
    with torch.no_grad():
        wanted = theirs(conditional_pixel_values=support, pixel_values=x).logits
    got = ours_on(ours, x, ours.seen_as(support))
    assert_close(got, wanted, EPS)


def test_a_picture_that_is_not_square(pair: tuple[Any, ClipSeg]) -> None:
    """Their decoder takes square ones only, so its parts are called one by one."""
    theirs, ours = pair
    x, vectors = pictures(1, 224, 352), ours.words(TEXTS[:1])
    with torch.no_grad():
        hidden = theirs.clip.vision_model(x, output_hidden_states=True).hidden_states
        out = None
        for i, layer in enumerate(reversed(LAYERS)):
            reduced = theirs.decoder.reduces[i](hidden[layer + 1])
            out = reduced if out is None else out + reduced
            if i == 0:
                mul, add = theirs.decoder.film_mul(vectors), theirs.decoder.film_add(vectors)
                out = mul[:, None] * out + add[:, None]
            out = theirs.decoder.layers[i](out, None)
        cells = out[:, 1:].transpose(1, 2).reshape(1, -1, 14, 22)
        wanted = theirs.decoder.transposed_convolution(cells)[:, 0]
    assert_close(ours_on(ours, x, vectors), wanted, EPS)


def test_the_last_blocks_are_not_run(pair: tuple[Any, ClipSeg]) -> None:
    _, ours = pair
    ran: list[int] = []
    blocks = ours.clip.net.visual.blocks  # type: ignore[union-attr]
    hooks = [b.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, b in enumerate(blocks)]
    ours.reduced(pictures(1, 224, 224))
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1, 2, 3, 4]


def test_the_way_to_the_pixels_is_theirs(pair: tuple[Any, ClipSeg]) -> None:
    """(x / 255 - mean) / std with ImageNet's numbers, not CLIP's."""
    _, ours = pair
    rgb = np.random.default_rng(0).integers(0, 256, (352, 352, 3)).astype(np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    wanted = ((rgb / 255 - mean) / std).transpose(2, 0, 1)
    got = ours.pixels(rgb, (352, 352))
    assert_close(got, wanted, 1e-6)


def test_a_decoder_file_of_the_authors(pair: tuple[Any, ClipSeg], tmp_path: Path) -> None:
    _, ours = pair
    state = dict(ours.decoder.state_dict())
    # What their files hold beside what is used.
    state["reduce.weight"], state["reduce.bias"] = torch.zeros(64, 768), torch.zeros(64)
    torch.save(state, tmp_path / "rd64-uni.pth")
    found = resolve(tmp_path / "rd64-uni.pth")
    assert found.record.layers == (3, 7, 9)
    loaded = []

    def backbone(name: str) -> Any:
        loaded.append(name)
        return ours.clip

    with pytest.raises(CheckpointError, match="layers"):  # this small CLIP has no block 9
        from_checkpoint(found, pick("cpu", "fp32"), backbone)
    assert loaded == ["clip-vit-b16.openai"]
    from dataclasses import replace

    record = replace(found.record, layers=LAYERS)
    model = from_checkpoint(replace(found, record=record), pick("cpu", "fp32"), backbone)
    # Heads are not in the file, and neither is which CLIP: both are the published ones.
    x, vectors = pictures(1, 224, 224), ours.words(TEXTS[:1])
    assert_close(ours_on(model, x, vectors), ours_on(ours, x, vectors), 1e-6)
