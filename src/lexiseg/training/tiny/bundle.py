"""Write trained towers as the files that the package ships: fp16 safetensors and a manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from lexiseg.checkpoints import Preprocessing, Record, describe_files, write_manifest
from lexiseg.models.tiny.masknet import MaskNet
from lexiseg.models.tiny.text import TextTower, pack
from lexiseg.models.tiny.vision import VisionNet

__all__ = ["write_bundle"]


def _half(module: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.detach().half().contiguous() for k, v in module.state_dict().items()}


def write_bundle(
    out: Path,
    net: VisionNet,
    tower: TextTower,
    masker: MaskNet,
    tokenizer: Path,
    *,
    known_words: Sequence[str],
    trained_words: Sequence[str],
    unknown_below: float,
    tagged_below: float,
    recipe: Mapping[str, object],
) -> Path:
    """Write the three nets' safetensors, tokenizer.json, config.json and manifest.json.

    known_words: the words that had masks. trained_words: all that the picture side met.
    unknown_below, tagged_below: see ``TinyEncoder.unknown``.
    """
    out.mkdir(parents=True, exist_ok=True)
    save_file(_half(net), out / "vision.safetensors")
    save_file(pack(tower), out / "text.safetensors")
    save_file(_half(masker), out / "masker.safetensors")
    shutil.copyfile(tokenizer, out / "tokenizer.json")
    config = {
        "vision": asdict(net.config),
        "text": asdict(tower.config),
        "masker": asdict(masker.config),
        "known_words": list(known_words),
        "trained_words": list(trained_words),
        "unknown_below": unknown_below,
        "tagged_below": tagged_below,
        "recipe": dict(recipe),
    }
    (out / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n")
    files = (
        "vision.safetensors", "text.safetensors", "masker.safetensors", "tokenizer.json",
        "config.json",
    )  # fmt: skip
    record = Record(
        name="tiny",
        family="tiny",
        files=describe_files(out, files),
        licence="research use (some training sets are for research only; see the model card)",
        licence_url="docs/model-card.md",
        preprocessing=Preprocessing(size=320, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        activation="relu6",
        embed_dim=net.config.dim,
        stride=4,
        notes="trained by `lexiseg train tiny`; ships inside the package",
    )
    write_manifest(out, record)
    for file in out.iterdir():
        file.chmod(0o644)  # safetensors writes for the owner alone, and a wheel keeps that
    return out
