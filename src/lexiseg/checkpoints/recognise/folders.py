"""Folders of published weights that are not in the table: described by their own configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lexiseg.checkpoints.cache import read_json
from lexiseg.checkpoints.records import (
    CLIP_PIXELS,
    IMAGENET_PIXELS,
    Preprocessing,
    Record,
    WeightFile,
    is_plain,
)
from lexiseg.checkpoints.registry import describe_files
from lexiseg.checkpoints.table import TABLE
from lexiseg.errors import CheckpointError

__all__ = ["describe_folder", "like"]

_TRANSFORMERS = ("model.safetensors", "pytorch_model.bin")
_DECODERS = ("decoder.safetensors", "film.safetensors")  # on a CLIP, on the bundled encoder
_TRAINED = "lexiseg-clipseg"  # the model type of a decoder that `lexiseg train clipseg` made
_PIPELINE = "model_index.json"
_OPENCLIP = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)  # fmt: skip
# transformers' model_type -> a record of the table that is read in the same way, where the loader
# reads the rest itself.
_LIKE = {
    "grounding-dino": "grounding-dino-t",
    "owlv2": "owlv2-b16",
    "vit": "dino-vit-b16",
    "dinov2": "dinov2-vit-b14",
    "dinov2_with_registers": "dinov2-vit-b14-reg",
    "dinov3_vit": "dinov3-vit-b16",
    "sam": "sam-vit-b.hf",
    **dict.fromkeys(("sam2", "sam2_video"), "sam2-hiera-t.hf"),
    **dict.fromkeys(("edgetam", "edgetam_video"), "edgetam"),
    **dict.fromkeys(("sam3", "sam3_video", "sam3_tracker", "sam3_tracker_video"), "sam3"),
}
_HALVES = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def describe_folder(folder: Path) -> Record | None:
    """Return the record of a folder as transformers, OpenCLIP or diffusers save a model that is
    read here; None for others.

    Sizes and the activation come from the folder's configuration; the licence is not known.
    Raises CheckpointError where that configuration is damaged or of a model that is not read.
    """
    if (folder / _PIPELINE).is_file():
        return _pipeline(folder)
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
        config = read_json(folder / config_name)
        try:
            described = build(folder, config)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder / config_name} is not the configuration of a model that is read here "
                f"({error!r}); copy the folder again"
            ) from error
        if described is not None:
            name, fields = described
            return like(
                name, folder.resolve().name, describe_files(folder, names),
                notes=f"described by its own {config_name}", **fields,
            )  # fmt: skip
    return None


def like(name: str, own_name: str, files: tuple[WeightFile, ...], **fields: Any) -> Record:
    """Return a record of the table with other files, of which nobody knows source and licence."""
    return replace(
        TABLE[name],
        name=re.sub(r"[^a-z0-9]+", "-", own_name.lower()).strip("-") or TABLE[name].family,
        files=files,
        licence="not known",
        licence_url="not known",
        repo="",
        revision="",
        gated=False,
        **fields,
    )


# The record of the table that a configuration is like, and what differs from it; None where it is
# of another kind of folder.
_Described = tuple[str, dict[str, Any]] | None


def _openclip(folder: Path, config: Mapping[str, Any]) -> _Described:
    model = config["model_cfg"]
    vision = model["vision_cfg"]
    stride = int(vision.get("patch_size", 32)) if isinstance(vision["layers"], int) else 32
    return "clip-vit-b16.openai", {
        "activation": "quick-gelu" if model.get("quick_gelu", False) else "gelu",
        "embed_dim": int(model["embed_dim"]),
        "stride": stride,
        "preprocessing": _pixels(folder, config.get("preprocess_cfg", {}), CLIP_PIXELS),
    }


def _transformers(folder: Path, config: Mapping[str, Any]) -> _Described:
    kind, vision = str(config.get("model_type")), config.get("vision_config", config)
    if kind in _LIKE:
        usual = TABLE[_LIKE[kind]]
        dims = [
            config[key] for key in ("d_model", "projection_dim", "hidden_size") if key in config
        ]
        stride = int(vision.get("patch_size", usual.stride))
        return usual.name, {"embed_dim": int([*dims, usual.embed_dim][0]), "stride": stride}
    # Defaults are those of transformers, which leaves values out that equal them.
    if kind == "siglip":
        activation = str(vision.get("hidden_act", "gelu_pytorch_tanh"))
        return "siglip2-vit-b16.webli", {
            "activation": "gelu-tanh" if activation == "gelu_pytorch_tanh" else activation,
            "embed_dim": int(vision.get("hidden_size", 768)),
            "stride": int(vision.get("patch_size", 16)),
            "preprocessing": _pixels(folder, _HALVES, CLIP_PIXELS),
        }
    if kind not in ("clip", "clipseg"):
        return None
    is_clip = kind == "clip"
    usual_pixels = CLIP_PIXELS if is_clip else replace(IMAGENET_PIXELS, size=352)
    return "clip-vit-b16.openai" if is_clip else "clipseg-rd64", {
        "activation": str(vision.get("hidden_act", "quick_gelu")).replace("_", "-"),
        "embed_dim": int(config.get("projection_dim", 512)),
        "stride": int(vision.get("patch_size", 32)),
        "layers": (),
        "preprocessing": _pixels(folder, {}, usual_pixels),
    }


def _trained_decoder(folder: Path, config: Mapping[str, Any]) -> _Described:
    if config.get("model_type") != _TRAINED:
        return None
    decoder = config["decoder"]
    return "clipseg-rd64", {
        "activation": str(config.get("activation", "quick-gelu")),
        "embed_dim": int(decoder["cond_dim"]),
        "stride": int(decoder["cell"]),
        "layers": (),
        "preprocessing": _pixels(folder, {}, replace(IMAGENET_PIXELS, size=352)),
    }


def _pixels(folder: Path, given: Mapping[str, Any], usual: Preprocessing) -> Preprocessing:
    path = folder / "preprocessor_config.json"
    if not given and path.is_file():
        read = read_json(path)
        given = {"mean": read["image_mean"], "std": read["image_std"]}
    if "mean" not in given:
        return usual
    (r, g, b), (sr, sg, sb) = given["mean"], given["std"]
    return replace(usual, mean=(r, g, b), std=(sr, sg, sb))


def _pipeline(folder: Path) -> Record:
    """The record of a folder as diffusers saves a pipeline: a folder for each of its parts."""
    endings = (".json", ".safetensors", ".txt", ".model")
    there = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    names = sorted(name for name in there if name.endswith(endings) and is_plain(name))
    side = 512
    for part in ("unet", "transformer"):
        config = folder / part / "config.json"
        if config.is_file():
            sample = read_json(config).get("sample_size")
            side = 8 * sample if isinstance(sample, int) and sample > 0 else 1024
    return like(
        "sd-1.5-inpainting", folder.resolve().name, describe_files(folder, names),
        preprocessing=replace(TABLE["sd-1.5-inpainting"].preprocessing, size=side),
        notes=f"described by its own {_PIPELINE}",
    )  # fmt: skip
