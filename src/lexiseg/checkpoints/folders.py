"""Folders of published weights that are not in the table: described by their own configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexiseg.checkpoints.manifest import describe_files
from lexiseg.checkpoints.records import Preprocessing, Record
from lexiseg.checkpoints.single import names_of
from lexiseg.errors import CheckpointError

__all__ = ["CLIP_PIXELS", "IMAGENET_PIXELS", "describe_decoder", "describe_folder"]

# What every CLIP was trained on, unless its configuration says otherwise.
CLIP_PIXELS = Preprocessing(
    None, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "bicubic"
)
# CLIPSeg normalises with ImageNet's mean and std, not with CLIP's.
IMAGENET_PIXELS = Preprocessing(352, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
_TRANSFORMERS = ("model.safetensors", "pytorch_model.bin")
_DECODERS = ("decoder.safetensors", "film.safetensors")  # on a CLIP, on the bundled encoder
_TRAINED = "lexiseg-clipseg"  # the model type of a decoder that `lexiseg train clipseg` made
_PIPELINE = "model_index.json"
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
        try:
            config = json.loads((folder / config_name).read_text("utf-8"))
            other = _other(folder, config, config_name, names)
            if other is not None:
                return other
            parts = build(config)
            if parts is None:
                continue
            family, activation, embed_dim, stride, pixels = parts
            clipseg = family == "clipseg"
            return Record(
                name=re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "clip",
                family=family,
                kind="method" if clipseg else "encoder",
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
    "sam3_tracker": "sam3",
    "sam3_tracker_video": "sam3",
}


def _other(
    folder: Path, config: Mapping[str, Any], config_name: str, names: list[str]
) -> Record | None:
    """The record of a folder as transformers saves a model of another family than CLIP."""
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


def _pipeline(folder: Path) -> Record:
    """The record of a folder as diffusers saves a pipeline: a folder for each of its parts."""
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in (".json", ".safetensors", ".txt", ".model")
    )
    scale = 8
    side = 512
    for part in ("unet", "transformer"):
        config = folder / part / "config.json"
        if config.is_file():
            sample = json.loads(config.read_text("utf-8")).get("sample_size")
            side = scale * int(sample) if isinstance(sample, int) else 1024
    return Record(
        name=re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "pipeline",
        family="inpaint",
        kind="inpainter",
        files=describe_files(folder, files),
        licence="not known",
        licence_url="not known",
        preprocessing=Preprocessing(side, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic"),
        activation="silu",
        embed_dim=0,
        stride=scale,
        notes=f"described by its own {_PIPELINE}",
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
    family = str(config.get("model_type"))
    if family not in ("clip", "clipseg"):
        return None
    activation = str(vision.get("hidden_act", "quick_gelu")).replace("_", "-")
    dim, patch = int(config.get("projection_dim", 512)), int(vision.get("patch_size", 32))
    return family, activation, dim, patch, {}


def _trained_decoder(config: Mapping[str, Any]) -> _Parts | None:
    if config.get("model_type") != _TRAINED:
        return None
    decoder = config["decoder"]
    activation = str(config.get("activation", "quick-gelu"))
    return "clipseg", activation, int(decoder["cond_dim"]), int(decoder["cell"]), {}


def describe_decoder(path: Path) -> Record | None:
    """Return the record of a CLIPSeg decoder's own file, as its authors publish it (``.pth``); None
    for other files.

    Their training files name the blocks 3, 7 and 9, and the file itself does not tell.
    """
    if path.suffix != ".pth" or not path.is_file() or b"reduces.0." not in names_of(path):
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
        kind="method",
        layers=(3, 7, 9),
    )


def _openclip(config: Mapping[str, Any]) -> _Parts:
    model = config["model_cfg"]
    vision = model["vision_cfg"]
    stride = int(vision.get("patch_size", 32)) if isinstance(vision["layers"], int) else 32
    activation = "quick-gelu" if model.get("quick_gelu", False) else "gelu"
    return "clip", activation, int(model["embed_dim"]), stride, config.get("preprocess_cfg", {})


def _pixels(folder: Path, given: Mapping[str, Any], usual: Preprocessing) -> Preprocessing:
    path = folder / "preprocessor_config.json"
    if not given and path.is_file():
        read = json.loads(path.read_text("utf-8"))
        given = {"mean": read["image_mean"], "std": read["image_std"]}
    if "mean" not in given:
        return usual
    (r, g, b), (sr, sg, sb) = given["mean"], given["std"]
    return Preprocessing(usual.size, (r, g, b), (sr, sg, sb), usual.resample)
