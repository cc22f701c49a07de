"""Folders of published weights that are not in the table: described by their own configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexiseg.checkpoints.manifest import describe_files
from lexiseg.checkpoints.records import Preprocessing, Record
from lexiseg.errors import CheckpointError

__all__ = ["CLIP_PIXELS", "describe_folder"]

# What every CLIP was trained on, unless its configuration says otherwise.
CLIP_PIXELS = Preprocessing(
    None, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "bicubic"
)
_TRANSFORMERS = ("model.safetensors", "pytorch_model.bin")
_OPENCLIP = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)  # fmt: skip


def describe_folder(folder: Path) -> Record | None:
    """Return the record of a folder as transformers or OpenCLIP save a CLIP, or transformers a
    SigLIP; None for others.

    Sizes and the activation come from the folder's configuration; the licence is not known.
    Raises CheckpointError where that configuration is damaged or of a model that is not read.
    """
    for config_name, weights, build in (
        ("open_clip_config.json", _OPENCLIP, _openclip),
        ("config.json", _TRANSFORMERS, _transformers),
    ):
        there = [name for name in weights if (folder / name).is_file()]
        if not (folder / config_name).is_file() or not there:
            continue
        names = [there[0], config_name]
        if (folder / "tokenizer.json").is_file():
            names.append("tokenizer.json")
        try:
            other = _other(folder, config_name, names)
            if other is not None:
                return other
            parts = build(json.loads((folder / config_name).read_text("utf-8")))
            if parts is None:
                continue
            family, activation, embed_dim, stride, pixels = parts
            return Record(
                name=re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "clip",
                family=family,
                files=describe_files(folder, names),
                licence="not known",
                licence_url="not known",
                preprocessing=_pixels(folder, pixels),
                activation=activation,
                embed_dim=embed_dim,
                stride=stride,
                notes=f"described by its own {config_name}",
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder / config_name} is not the configuration of a CLIP ({error!r}); copy the "
                f"folder again"
            ) from error
    return None


# transformers' model_type -> the family that reads it, where the loader reads the rest itself.
_OTHERS = {
    "grounding-dino": "grounding",
    "owlv2": "grounding",
    "vit": "dino",
    "dinov2": "dino",
    "dinov2_with_registers": "dino",
    "dinov3_vit": "dino",
    "sam": "sam",
    "sam2": "sam2",
    "sam2_video": "sam2",
    "edgetam": "edgetam",
    "edgetam_video": "edgetam",
    "sam3": "sam3",
    "sam3_video": "sam3",
}


def _other(folder: Path, config_name: str, names: list[str]) -> Record | None:
    """The record of a folder as transformers saves a model of another family than CLIP."""
    config = json.loads((folder / config_name).read_text("utf-8"))
    family = _OTHERS.get(str(config.get("model_type")))
    if family is None:
        return None
    return Record(
        name=re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or family,
        family=family,
        kind="detector",
        files=describe_files(folder, names),
        licence="not known",
        licence_url="not known",
        preprocessing=CLIP_PIXELS,
        activation="gelu",
        embed_dim=int(
            config.get("d_model", config.get("projection_dim", config.get("hidden_size", 256)))
        ),
        stride=int(config.get("vision_config", config).get("patch_size", 8)),
        notes=f"described by its own {config_name}",
    )


_Parts = tuple[str, str, int, int, Mapping[str, Any]]


def _transformers(config: Mapping[str, Any]) -> _Parts | None:
    vision = config.get("vision_config", {})
    if config.get("model_type") == "siglip":
        # Defaults are those of transformers, which leaves values out that equal them.
        activation = str(vision.get("hidden_act", "gelu_pytorch_tanh"))
        activation = "gelu-tanh" if activation == "gelu_pytorch_tanh" else activation
        width, patch = int(vision.get("hidden_size", 768)), int(vision.get("patch_size", 16))
        halves = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
        return "siglip", activation, width, patch, halves
    if config.get("model_type") != "clip":
        return None
    activation = str(vision.get("hidden_act", "quick_gelu")).replace("_", "-")
    dim, patch = int(config.get("projection_dim", 512)), int(vision.get("patch_size", 32))
    return "clip", activation, dim, patch, {}


def _openclip(config: Mapping[str, Any]) -> _Parts:
    model = config["model_cfg"]
    vision = model["vision_cfg"]
    stride = int(vision.get("patch_size", 32)) if isinstance(vision["layers"], int) else 32
    activation = "quick-gelu" if model.get("quick_gelu", False) else "gelu"
    return "clip", activation, int(model["embed_dim"]), stride, config.get("preprocess_cfg", {})


def _pixels(folder: Path, given: Mapping[str, Any]) -> Preprocessing:
    path = folder / "preprocessor_config.json"
    if not given and path.is_file():
        read = json.loads(path.read_text("utf-8"))
        given = {"mean": read["image_mean"], "std": read["image_std"]}
    if "mean" not in given:
        return CLIP_PIXELS
    (r, g, b), (sr, sg, sb) = given["mean"], given["std"]
    return Preprocessing(None, (r, g, b), (sr, sg, sb), "bicubic")
