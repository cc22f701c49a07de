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

__all__ = ["CLIP_PIXELS", "IMAGENET_PIXELS", "describe_decoder", "describe_folder"]

# What every CLIP was trained on, unless its configuration says otherwise.
CLIP_PIXELS = Preprocessing(
    None, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "bicubic"
)
# CLIPSeg normalises with ImageNet's mean and std, not with CLIP's.
IMAGENET_PIXELS = Preprocessing(352, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
_TRANSFORMERS = ("model.safetensors", "pytorch_model.bin")
_DECODERS = ("decoder.safetensors",)
_CLIPSEG = ("clipseg", "lexiseg-clipseg")  # model types: transformers', ours
_OPENCLIP = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)  # fmt: skip


def describe_folder(folder: Path) -> Record | None:
    """Return the record of a folder as transformers or OpenCLIP save a CLIP; None for others.

    Sizes and the activation come from the folder's configuration; the licence is not known.
    Raises CheckpointError where that configuration is damaged or of a model that is not read.
    """
    for config_name, weights, build in (
        ("open_clip_config.json", _OPENCLIP, _openclip),
        ("config.json", _TRANSFORMERS, _transformers),
        ("config.json", _DECODERS, _trained_decoder),
    ):
        there = [name for name in weights if (folder / name).is_file()]
        if not (folder / config_name).is_file() or not there:
            continue
        names = [there[0], config_name]
        if (folder / "tokenizer.json").is_file():
            names.append("tokenizer.json")
        try:
            config = json.loads((folder / config_name).read_text("utf-8"))
            parts = build(config)
            if parts is None:
                continue
            clipseg = config.get("model_type") in _CLIPSEG
            activation, embed_dim, stride, pixels = parts
            return Record(
                name=re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "clip",
                family="clipseg" if clipseg else "clip",
                files=describe_files(folder, names),
                licence="not known",
                licence_url="not known",
                preprocessing=_pixels(folder, pixels, IMAGENET_PIXELS if clipseg else CLIP_PIXELS),
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


_Parts = tuple[str, int, int, Mapping[str, Any]]


def _transformers(config: Mapping[str, Any]) -> _Parts | None:
    if config.get("model_type") not in ("clip", "clipseg"):
        return None
    vision = config["vision_config"]
    activation = str(vision.get("hidden_act", "quick_gelu")).replace("_", "-")
    # Defaults are those of transformers, which leaves values out that equal them.
    return activation, int(config.get("projection_dim", 512)), int(vision.get("patch_size", 32)), {}


def _trained_decoder(config: Mapping[str, Any]) -> _Parts | None:
    if config.get("model_type") != _CLIPSEG[1]:
        return None
    decoder = config["decoder"]
    return "quick-gelu", int(decoder["cond_dim"]), int(decoder["cell"]), {}


def describe_decoder(path: Path) -> Record | None:
    """Return the record of a CLIPSeg decoder's own file, as its authors publish it (``.pth``).

    Their training files name the blocks 3, 7 and 9, and the file itself does not tell.
    """
    if path.suffix != ".pth":
        return None
    return Record(
        name=re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "clipseg",
        family="clipseg",
        files=describe_files(path.parent, [path.name]),
        licence="not known",
        licence_url="not known",
        preprocessing=IMAGENET_PIXELS,
        activation="quick-gelu",
        embed_dim=512,
        stride=16,
        notes="a decoder alone, put on clip-vit-b16.openai",
        extract_layers=(3, 7, 9),
    )


def _openclip(config: Mapping[str, Any]) -> _Parts:
    model = config["model_cfg"]
    vision = model["vision_cfg"]
    stride = int(vision.get("patch_size", 32)) if isinstance(vision["layers"], int) else 32
    activation = "quick-gelu" if model.get("quick_gelu", False) else "gelu"
    return activation, int(model["embed_dim"]), stride, config.get("preprocess_cfg", {})


def _pixels(folder: Path, given: Mapping[str, Any], usual: Preprocessing) -> Preprocessing:
    path = folder / "preprocessor_config.json"
    if not given and path.is_file():
        read = json.loads(path.read_text("utf-8"))
        given = {"mean": read["image_mean"], "std": read["image_std"]}
    if "mean" not in given:
        return usual
    (r, g, b), (sr, sg, sb) = given["mean"], given["std"]
    return Preprocessing(usual.size, (r, g, b), (sr, sg, sb), usual.resample)
