"""The published checkpoints: what their records say, held against what is known of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter

import pytest

from lexiseg.checkpoints import KINDS, Record
from lexiseg.checkpoints.table import TABLE

FAMILIES = {
    "clip": "encoder", "siglip": "encoder", "dino": "proxy", "radio": "proxy", "sam": "masker",
    "sam2": "masker", "edgetam": "masker", "sam3": "detector", "clipseg": "method",
    "grounding": "detector", "inpaint": "inpainter", "lama": "inpainter",
}  # fmt: skip


def test_every_family_has_its_kind() -> None:
    assert {record.family: record.kind for record in TABLE.values()} == FAMILIES
    assert set(FAMILIES.values()) == set(KINDS)


def test_a_record_says_where_it_comes_from_and_under_what_terms() -> None:
    for name, record in TABLE.items():
        assert record.licence_url.startswith("https://"), name
        assert bool(record.repo) != all(file.url for file in record.files), name
        for file in record.files:
            assert not file.url or file.url.startswith("https://"), name
            assert not file.url or file.url.endswith(f"/{file.name}"), name
            # A size without a digest would be somebody's guess.
            assert file.sha256 or not file.bytes, name
        weights = re.compile(r"\.(safetensors|bin|pth?)$")
        assert any(weights.search(file.name) for file in record.files), name
        pixels = record.preprocessing
        # Google named this one after 384 pixels, of which its 27 cells see 378.
        if pixels.size is not None and name != "siglip2-vit-so400m14-384.webli":
            assert pixels.size % record.stride == 0, name
        assert Record.from_json(record.to_json()) == record, name


def test_a_digest_belongs_to_one_file() -> None:
    files = [file for record in TABLE.values() for file in record.files if file.sha256]
    twice = {sha256 for sha256, times in Counter(f.sha256 for f in files).items() if times > 1}
    assert {file.name for file in files if file.sha256 in twice} == {"tokenizer.json"}  # BERT's


def test_what_is_pinned_is_wholly_known() -> None:
    for name, record in TABLE.items():
        if record.pinned:
            assert record.revision or all(file.url for file in record.files), name
            assert record.bytes or name.endswith(".metaclip"), name  # Meta tells no sizes
    pinned = {name for name, record in TABLE.items() if record.pinned}
    assert pinned >= {
        "clip-vit-b16.openai", "clip-vit-h14.laion2b", "clip-vit-l14.metaclip", "sam-vit-b",
        "sam2.1-hiera-l", "sam2.1-hiera-t.hf", "dinov2-vit-b14", "grounding-dino-t",
        "siglip2-vit-b16.webli",
    }  # fmt: skip
    # A pickle, or a program, that nobody has published the digest of is never fetched unasked.
    assert "big-lama" in pinned


@pytest.mark.parametrize(("size", "dim", "heads", "blocks"), [
    ("b", 768, 12, 12), ("l", 1024, 16, 24), ("g", 1536, 24, 40),
])  # fmt: skip
def test_digests_of_configurations_can_be_worked_out(
    size: str, dim: int, heads: int, blocks: int
) -> None:
    """DINOv2's, as transformers wrote them then: nobody's word is needed for these."""
    config = {
        "architectures": ["Dinov2Model"], "attention_probs_dropout_prob": 0.0,
        "drop_path_rate": 0.0, "hidden_act": "gelu", "hidden_dropout_prob": 0.0,
        "hidden_size": dim, "image_size": 518, "initializer_range": 0.02, "layer_norm_eps": 1e-06,
        "layerscale_value": 1.0, "mlp_ratio": 4, "model_type": "dinov2",
        "num_attention_heads": heads, "num_channels": 3, "num_hidden_layers": blocks,
        "patch_size": 14, "qkv_bias": True, "torch_dtype": "float32",
        "transformers_version": "4.31.0.dev0", "use_swiglu_ffn": size == "g",
    }  # fmt: skip
    written = json.dumps(config, indent=2).encode() + b"\n"
    file = TABLE[f"dinov2-vit-{size}14"].files[1]
    assert (file.bytes, file.sha256) == (len(written), hashlib.sha256(written).hexdigest())


def test_openai_has_digests_in_its_addresses() -> None:
    records = [record for name, record in TABLE.items() if name.endswith(".openai")]
    assert records
    assert all(record.files[0].sha256 in record.files[0].url for record in records)


def test_what_is_gated_and_what_has_other_terms() -> None:
    gated = {record.name for record in TABLE.values() if record.gated}
    assert gated == {
        "dinov3-vit-s16", "dinov3-vit-b16", "dinov3-vit-l16", "sam3", "flux.1-fill-dev"
    }  # fmt: skip
    assert TABLE["clip-vit-b16.metaclip"].licence == "CC-BY-NC-4.0"
    assert TABLE["clip-vit-b16.dfn2b"].licence == "Apple AMLR"


@pytest.mark.parametrize(
    ("name", "activation", "stride", "dim", "size"),
    [
        ("clip-rn50x4.openai", "quick-gelu", 32, 640, 288),
        ("clip-vit-l14-336.openai", "quick-gelu", 14, 768, 336),
        ("clip-vit-h14.laion2b", "gelu", 14, 1024, 224),
        ("clip-vit-h14.metaclip", "quick-gelu", 14, 1024, 224),
        ("clip-vit-l14.dfn2b", "quick-gelu", 14, 768, 224),
        ("clip-vit-l14.dfn2b-39b", "gelu", 14, 768, 224),
        ("clip-vit-b16.datacomp", "gelu", 16, 512, 224),
        ("siglip2-vit-b16-512.webli", "gelu-tanh", 16, 768, 512),
        ("dino-vit-b8", "gelu", 8, 768, 224),
        ("dinov2-vit-b14-reg", "gelu", 14, 768, 518),
        ("sam2.1-hiera-t", "gelu", 16, 256, 1024),
        ("sam3", "gelu", 14, 256, 1008),
        ("clipseg-rd64-refined", "quick-gelu", 16, 512, 352),
    ],
)
def test_published_sizes(name: str, activation: str, stride: int, dim: int, size: int) -> None:
    record = TABLE[name]
    assert (record.activation, record.stride, record.embed_dim) == (activation, stride, dim)
    assert record.preprocessing.size == size


def test_pictures_are_normalised_as_each_was_trained() -> None:
    mean = {name: record.preprocessing.mean for name, record in TABLE.items()}
    assert mean["clip-vit-b16.openai"] == (0.48145466, 0.4578275, 0.40821073)
    # Of the LAION models this one alone, and all SigLIPs, saw halves.
    assert mean["clip-vit-l14.laion2b"] == mean["siglip2-vit-b16.webli"] == (0.5, 0.5, 0.5)
    # CLIPSeg has CLIP's towers and ImageNet's pixels.
    assert mean["clipseg-rd64-refined"] == mean["dino-vit-b16"] == (0.485, 0.456, 0.406)
    assert mean["big-lama"] == (0.0, 0.0, 0.0)
    assert TABLE["clipseg-rd64"].layers == (3, 6, 9)


def test_pipelines_keep_their_folders() -> None:
    names = {file.name for file in TABLE["sdxl-inpainting"].files}
    assert {"model_index.json", "unet/config.json", "text_encoder_2/config.json"} <= names
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in names
