"""SigLIP 2 against transformers' model, and against a slow obvious one written from its layers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests import siglip_weights
from tests.close import assert_close
from torch import Tensor

import lexiseg
from lexiseg.checkpoints import resolve
from lexiseg.device import pick
from lexiseg.errors import CheckpointError
from lexiseg.models import load_encoder
from lexiseg.models.siglip import SiglipEncoder, build_encoder
from lexiseg.protocols import Encoder, LoadOptions

TEXTS = ["a photo of a cat.", "A Photo of a CAT.", "dog", "", "naïve 犬, " * 9, "a-b!"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return siglip_weights.write(tmp_path_factory.mktemp("weights") / "siglip2-small")


@pytest.fixture
def encoder(folder: Path) -> SiglipEncoder:
    found = load_encoder(folder, LoadOptions(device="cpu", dtype="fp32"))
    assert isinstance(found, SiglipEncoder)
    return found


@pytest.fixture(scope="module")
def reference() -> Any:
    from transformers import SiglipConfig, SiglipModel

    parts = {key: siglip_weights.CONFIG[key] for key in ("text_config", "vision_config")}
    # The plain attention, which tells its maps.
    made = SiglipModel._from_config(SiglipConfig(**parts), attn_implementation="eager")
    made.load_state_dict(siglip_weights.state())
    return made.eval()


def picture(height: int, width: int, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(height + width)
    coarse = torch.rand(count, 3, height // 8, width // 8, generator=generator)
    smooth = F.interpolate(coarse, (height, width), mode="bilinear")
    return (smooth * 255).permute(0, 2, 3, 1).to(torch.uint8)


def pixels(rgb: Tensor) -> Tensor:
    return ((rgb.float() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)


def tokens(folder: Path, texts: list[str]) -> Tensor:
    """As transformers makes them of the published file: small letters, padded to the right."""
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>", padding_side="right"
    )
    given = made(
        [text.lower() for text in texts], padding="max_length", truncation=True,
        max_length=siglip_weights.CONTEXT,
    )  # fmt: skip
    return torch.tensor(given["input_ids"])


def evenness(maps: tuple[Tensor, ...]) -> float:
    """The entropy of attention, as a part of the largest that there can be."""
    entropies = [-(m * (m + 1e-12).log()).sum(-1).mean() / math.log(m.shape[-1]) for m in maps]
    return float(torch.stack(entropies).max())


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_pictures_agree_with_transformers(
    encoder: SiglipEncoder, reference: Any, size: tuple[int, int]
) -> None:
    rgb = picture(*size)
    given = {"pixel_values": pixels(rgb), "interpolate_pos_encoding": True}
    want = reference.vision_model(**given, output_attentions=True)
    assert evenness(want.attentions) < 0.8  # these weights do not degenerate
    got = encoder.pooled(rgb)
    assert_close(got, F.normalize(want.pooler_output, dim=-1))
    assert float(got[0] @ got[1]) < 0.99


@torch.no_grad()
def test_texts_agree_with_transformers(
    encoder: SiglipEncoder, reference: Any, folder: Path
) -> None:
    ids = tokens(folder, TEXTS)
    assert ids.shape == (len(TEXTS), siglip_weights.CONTEXT)
    assert ids[4, -1] == 1  # a long text loses its rest, not its end
    want = reference.text_model(input_ids=ids, output_attentions=True)
    assert evenness(want.attentions) < 0.8
    got = encoder.sentences(TEXTS)
    assert_close(got, want.pooler_output)
    assert_close(got[0], got[1], 1e-6)  # it reads small letters
    vectors = encoder.text(["cat", "dog"], ["a {}", "a photo of a {}."])
    by_hand = F.normalize(encoder.sentences(["a dog", "a photo of a dog."]), dim=-1).mean(0)
    assert_close(vectors[1], F.normalize(by_hand, dim=0), 1e-6)


def layer(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    """One block, written down: attention of each head over all places, then the MLP."""

    def linear(y: Tensor, part: str) -> Tensor:
        return y @ state[f"{name}.{part}.weight"].T + state[f"{name}.{part}.bias"]

    def norm(y: Tensor, part: str) -> Tensor:
        y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
        return y * state[f"{name}.{part}.weight"] + state[f"{name}.{part}.bias"]

    y = norm(x, "layer_norm1")
    q, k, v = (linear(y, f"self_attn.{part}_proj") for part in "qkv")
    d = siglip_weights.WIDTH // siglip_weights.HEADS
    heads = []
    for i in range(0, siglip_weights.WIDTH, d):
        part = slice(i, i + d)
        weights = (q[..., part] @ k[..., part].mT / math.sqrt(d)).softmax(-1)
        heads.append(weights @ v[..., part])
    x = x + linear(torch.cat(heads, -1), "self_attn.out_proj")
    y = linear(norm(x, "layer_norm2"), "mlp.fc1")
    return x + linear(F.gelu(y, approximate="tanh"), "mlp.fc2")


@torch.no_grad()
def test_both_towers_agree_with_a_slow_way(encoder: SiglipEncoder, folder: Path) -> None:
    state = siglip_weights.state()
    width = siglip_weights.WIDTH
    ids = tokens(folder, TEXTS)
    x = state["text_model.embeddings.token_embedding.weight"][ids]
    x = x + state["text_model.embeddings.position_embedding.weight"]
    for i in range(siglip_weights.LAYERS):
        x = layer(x, state, f"text_model.encoder.layers.{i}")
    last = F.layer_norm(
        x[:, -1], (width,), state["text_model.final_layer_norm.weight"],
        state["text_model.final_layer_norm.bias"], 1e-6,
    )  # fmt: skip
    want = last @ state["text_model.head.weight"].T + state["text_model.head.bias"]
    assert_close(encoder.sentences(TEXTS), want)

    rgb = picture(64, 64)
    embeddings = "vision_model.embeddings"
    weight = state[f"{embeddings}.patch_embedding.weight"].flatten(1)
    patches = F.unfold(pixels(rgb), siglip_weights.PATCH, stride=siglip_weights.PATCH).mT
    x = patches @ weight.T + state[f"{embeddings}.patch_embedding.bias"]
    x = x + state[f"{embeddings}.position_embedding.weight"]
    for i in range(siglip_weights.LAYERS):
        x = layer(x, state, f"vision_model.encoder.layers.{i}")
    x = F.layer_norm(
        x, (width,), state["vision_model.post_layernorm.weight"],
        state["vision_model.post_layernorm.bias"], 1e-6,
    )  # fmt: skip
    cells = encoder.dense(rgb)
    assert cells.shape == (2, 4, 4, width)
    for row in range(4):
        for column in range(4):
            # The head itself, shown one cell: its probe has nothing else to attend to.
            alone = encoder.net.vision_model.head(x[:, None, 4 * row + column])
            assert_close(cells[:, row, column], F.normalize(alone, dim=-1))


def test_it_is_an_encoder_of_any_size(encoder: SiglipEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.scale == pytest.approx(math.exp(4.7))
    assert (encoder.size.window, encoder.size.multiple) == (64, 16)
    cells = encoder.dense(picture(48, 80))
    assert cells.shape == (2, 3, 5, siglip_weights.WIDTH)
    masks = torch.zeros(2, 48, 80, dtype=torch.bool)
    masks[0, 16:32, 32:48] = True  # one cell
    inside = encoder.pooled(picture(48, 80, 1), masks)
    assert_close(inside[0], encoder.dense(picture(48, 80, 1))[0, 1, 2], 1e-6)


def test_bf16_agrees_with_fp32(encoder: SiglipEncoder, folder: Path) -> None:
    half = load_encoder(folder, LoadOptions(device="cpu", dtype="bf16"))
    exact, rough = encoder.dense(picture(48, 80)), half.dense(picture(48, 80))
    assert rough.dtype == torch.float32
    assert float((exact * rough).sum(-1).min()) > 0.98


def test_the_dense_method_takes_it(folder: Path) -> None:
    seg = lexiseg.load("dense", encoder=str(folder), device="cpu", short_side=64)
    out = seg(picture(70, 110, 1)[0].numpy(), ["cat", "dog", "tree"], background=None)
    assert out.label_map.shape == (70, 110)
    assert out.label_map.min() >= 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "gelu"}, "'gelu' in its record, but its configuration says gelu-tanh"),
        ({"embed_dim": 512}, "vectors of 48 values, its record says 512"),
    ],
)
def test_a_record_of_another_model_is_refused(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    found = resolve(folder)
    other = replace(found, record=replace(found.record, **change))
    with pytest.raises(CheckpointError, match=message):
        build_encoder(other, pick("cpu"))


def test_partial_weights_and_other_types_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = siglip_weights.write(tmp_path / "siglip")
    state = siglip_weights.state()
    del state["vision_model.head.probe"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"does not hold the weights .*head\.probe"):
        build_encoder(resolve(folder), pick("cpu"))
    siglip_weights.write(folder)
    found = resolve(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip2"}))
    with pytest.raises(CheckpointError, match="type 'siglip2'"):
        build_encoder(found, pick("cpu"))
    (folder / "tokenizer.json").unlink()
    siglip_weights.write(tmp_path / "other")
    (tmp_path / "other" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json"):
        build_encoder(resolve(tmp_path / "other"), pick("cpu"))
