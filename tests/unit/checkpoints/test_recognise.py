"""Folders that no table lists: described by their own configuration, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lexiseg.checkpoints import CLIP_PIXELS, IMAGENET_PIXELS, resolve
from lexiseg.checkpoints.recognise import describe_folder
from lexiseg.errors import CheckpointError

NESTED = "[" * 100_000
CLIP = {"model.safetensors": "x", "config.json": {"model_type": "clip"}}


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("config", "family", "kind", "dim", "stride"),
    [
        ({"model_type": "sam", "vision_config": {"patch_size": 16}}, "sam", "masker", 256, 16),
        ({"model_type": "sam2_video"}, "sam2", "masker", 256, 16),
        ({"model_type": "edgetam"}, "edgetam", "masker", 256, 16),
        ({"model_type": "sam3_tracker"}, "sam3", "detector", 256, 14),
        ({"model_type": "dinov2", "hidden_size": 384, "patch_size": 14}, "dino", "proxy", 384, 14),
        ({"model_type": "owlv2", "projection_dim": 768}, "grounding", "detector", 768, 16),
        ({"model_type": "grounding-dino", "d_model": 256}, "grounding", "detector", 256, 8),
        ({"model_type": "clip", "projection_dim": 512}, "clip", "encoder", 512, 32),
        ({"model_type": "clipseg"}, "clipseg", "method", 512, 32),
        ({"model_type": "siglip", "vision_config": {}}, "siglip", "encoder", 768, 16),
    ],
)
def test_a_folder_of_transformers_says_what_it_is(
    tmp_path: Path, config: dict[str, Any], family: str, kind: str, dim: int, stride: int
) -> None:
    folder = write(tmp_path / "My Model", {"config.json": config, "model.safetensors": "x"})
    record = describe_folder(folder)
    assert record is not None
    assert (record.family, record.kind, record.name) == (family, kind, "my-model")
    assert (record.embed_dim, record.stride) == (dim, stride)
    assert (record.licence, record.repo, record.revision, record.gated) == (
        "not known", "", "", False
    )  # fmt: skip
    assert record.pinned


def test_pixels_are_those_of_the_folder(tmp_path: Path) -> None:
    files = {"config.json": {"model_type": "clipseg"}, "model.safetensors": "x"}
    record = describe_folder(write(tmp_path, files))
    assert record is not None
    assert record.preprocessing.mean == IMAGENET_PIXELS.mean
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    files |= {"preprocessor_config.json": {"image_mean": mean, "image_std": std}}
    record = describe_folder(write(tmp_path, files))
    assert record is not None
    assert (record.preprocessing.mean, record.preprocessing.std) == (tuple(mean), tuple(std))
    openclip = {
        "model_cfg": {"embed_dim": 8, "vision_cfg": {"layers": 2, "patch_size": 7}, "quick_gelu": 1}
    }
    other = write(
        tmp_path / "b", {"open_clip_config.json": openclip, "open_clip_pytorch_model.bin": "x"}
    )
    record = describe_folder(other)
    assert record is not None
    assert (record.preprocessing, record.activation) == (CLIP_PIXELS, "quick-gelu")
    assert (record.embed_dim, record.stride) == (8, 7)


def test_a_pipeline_may_hold_other_files_too(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "model_index.json": {"_class_name": "X"}, "unet/config.json": {"sample_size": 96},
            "unet/model.safetensors": "x", "notes of mine (2).txt": "x", ".cache/x.json": "x",
            "vae/a picture.png": "x",
        },
    )  # fmt: skip
    found = resolve(folder)
    assert found.record.kind == "inpainter"
    assert found.record.preprocessing.size == 768
    assert sorted(found.paths) == [
        "model_index.json", "notes of mine (2).txt", "unet/config.json", "unet/model.safetensors"
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["{", "[]", "null", "7", "\x00", '{"a": NaN', NESTED, "\ud83d"])
@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("config.json", {"model.safetensors": "x"}),
        ("open_clip_config.json", {"open_clip_pytorch_model.bin": "x"}),
        (
            "preprocessor_config.json",
            {"model.safetensors": "x", "config.json": {"model_type": "clip"}},
        ),
        ("unet/config.json", {"model_index.json": {}}),
        ("transformer/config.json", {"model_index.json": {}}),
        ("manifest.json", {"model.safetensors": "x"}),
    ],
)
def test_json_that_is_damaged_is_refused_in_one_line(
    tmp_path: Path, name: str, others: dict[str, Any], text: str
) -> None:
    write(tmp_path, others)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError, match=r"is not (JSON|a JSON object).*again") as caught:
        resolve(tmp_path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "clip", "vision_config": 5},
        {"model_type": "clip", "vision_config": {"patch_size": "many"}},
        {"model_type": "sam", "vision_config": [1]},
        {"model_type": "dinov2", "hidden_size": None},
        {"model_type": "siglip", "vision_config": {"hidden_size": {}}},
        {"model_type": "lexiseg-clipseg"},
    ],
)
def test_a_configuration_of_nonsense_is_refused_in_one_line(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    weights = ("model.safetensors", "decoder.safetensors")
    write(tmp_path, {"config.json": config, **dict.fromkeys(weights, "x")})
    with pytest.raises(CheckpointError, match=r"config\.json is not the configuration of"):
        resolve(tmp_path)


def test_other_folders_are_not_described(tmp_path: Path) -> None:
    assert describe_folder(tmp_path) is None
    write(tmp_path, {"config.json": {"model_type": "bert"}, "model.safetensors": "x"})
    assert describe_folder(tmp_path) is None
    with pytest.raises(CheckpointError, match="not known weights"):
        resolve(tmp_path)


def test_a_manifest_without_digests_is_refused(tmp_path: Path) -> None:
    from lexiseg.checkpoints import WeightFile, write_manifest

    from .conftest import make_record

    write_manifest(write(tmp_path, {"x.bin": "x"}), make_record("mine", WeightFile("x.bin")))
    with pytest.raises(CheckpointError, match=r"says no SHA-256 of x\.bin"):
        resolve(tmp_path)
