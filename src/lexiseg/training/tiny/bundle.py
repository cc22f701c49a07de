"""Bundles: the folders that the package ships and reads, fp16 safetensors with a manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn

from lexiseg.checkpoints import (
    Checkpoint,
    Preprocessing,
    Record,
    WeightFile,
    describe_files,
    resolve,
    write_manifest,
)
from lexiseg.errors import OptionError
from lexiseg.models.tiny.masknet import MaskNet
from lexiseg.models.tiny.text import TextConfig, TextTower, pack, unpack
from lexiseg.models.tiny.vision import VisionConfig, VisionNet

__all__ = ["Bundle", "read_bundle", "rewrite_bundle", "write_bundle"]

VISION, TEXT, MASKER = "vision.safetensors", "text.safetensors", "masker.safetensors"
TOKENIZER, CONFIG = "tokenizer.json", "config.json"
_FILES = (VISION, TEXT, MASKER, TOKENIZER, CONFIG)


@dataclass(frozen=True)
class Bundle:
    """A bundle to train on: the picture side, the frozen text side, and what its files say."""

    checkpoint: Checkpoint
    net: VisionNet
    tower: TextTower
    tokenizer: Tokenizer
    config: dict[str, Any]

    @property
    def known_words(self) -> list[str]:
        """The words that had masks."""
        return list(self.config["known_words"])


def read_bundle(name: str | Path) -> Bundle:
    """Read a bundle by its name ("tiny") or folder, its nets in float32.

    Raises WeightsMissing where it is not there, OptionError where it is another kind of model.
    """
    checkpoint = resolve(str(name))
    if checkpoint.record.family != "tiny":
        raise OptionError(
            f"{str(name)!r} is no bundle; give tiny, or a folder that `lexiseg train` wrote"
        )
    config = json.loads(checkpoint[CONFIG].read_text("utf-8"))
    net = VisionNet(VisionConfig(**config["vision"]))
    net.load_state_dict({k: v.float() for k, v in load_file(checkpoint[VISION]).items()})
    tower = TextTower(TextConfig(**config["text"]))
    tower.load_state_dict(unpack(load_file(checkpoint[TEXT])))
    tokenizer = Tokenizer.from_file(str(checkpoint[TOKENIZER]))
    tower.eval().requires_grad_(False)
    return Bundle(checkpoint, net.eval().requires_grad_(False), tower, tokenizer, config)


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

    known_words: the words that had masks. trained_words: all that the picture side was trained
    with. unknown_below, tagged_below: see ``TinyEncoder.unknown``.
    """
    out.mkdir(parents=True, exist_ok=True)
    save_file(_half(net), out / VISION)
    save_file(pack(tower), out / TEXT)
    save_file(_half(masker), out / MASKER)
    shutil.copyfile(tokenizer, out / TOKENIZER)
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
    record = Record(
        name="tiny",
        family="tiny",
        files=_finish(out, config),
        licence="research use (some training sets are for research only; see the model card)",
        licence_url="docs/model-card.md",
        preprocessing=Preprocessing(size=320, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        activation="relu6",
        embed_dim=net.config.dim,
        stride=4,
        notes="trained by `lexiseg train tiny`; ships inside the package",
    )
    write_manifest(out, record)
    return out


def rewrite_bundle(
    bundle: Bundle,
    out: Path,
    net: VisionNet,
    *,
    words: Sequence[str] = (),
    recipe: Mapping[str, object],
    notes: str,
) -> Path:
    """Write a bundle with another picture side; its other files are copied.

    words: that had masks, beside those of the bundle. recipe: added to what the bundle's config
    says of its making. notes: of the new record. Raises OptionError where ``out`` is the bundle's
    own folder.
    """
    if out.resolve() == bundle.checkpoint[CONFIG].parent.resolve():
        raise OptionError(f"{out} is the folder of the bundle itself; give another folder")
    out.mkdir(parents=True, exist_ok=True)
    for name in (TEXT, MASKER, TOKENIZER):
        shutil.copyfile(bundle.checkpoint[name], out / name)
    save_file(_half(net), out / VISION)
    known = list(dict.fromkeys([*bundle.known_words, *words]))
    config = bundle.config | {
        "known_words": known,
        "trained_words": list(dict.fromkeys([*bundle.config["trained_words"], *known])),
        "recipe": {**bundle.config["recipe"], **recipe},
    }
    files = _finish(out, config)
    write_manifest(out, replace(bundle.checkpoint.record, files=files, notes=notes))
    return out


def _half(module: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.detach().half().contiguous() for k, v in module.state_dict().items()}


def _finish(out: Path, config: Mapping[str, object]) -> tuple[WeightFile, ...]:
    """Write config.json, and return the sizes and digests of all files."""
    text = json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    (out / CONFIG).write_text(text, encoding="utf-8")
    for name in _FILES:
        (out / name).chmod(0o644)  # safetensors writes for the owner alone, a wheel keeps that
    return describe_files(out, _FILES)
