"""Small CLIPs with drawn weights that do not degenerate, for tests; seeded, never downloaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from benchmarks import drawn
from benchmarks.drawn import Sizes, draw, text_state
from torch import Tensor

SIZES = Sizes()
WIDTH, LAYERS, PATCH, IMAGE, EMBED = 64, 4, 16, 64, 48
TEXT_WIDTH, TEXT_LAYERS, VOCABULARY, CONTEXT = 64, 3, 49408, 77


def vit_state(seed: int = 0, *, width: int = WIDTH, layers: int = LAYERS) -> dict[str, Tensor]:
    """A state dict with OpenAI's names: one head a 64 values, unless a config says more."""
    return drawn.vit_state(replace(SIZES, width=width, layers=layers), seed)


def resnet_state(seed: int = 0, *, width: int = 16, side: int = 2) -> dict[str, Tensor]:
    """An attention-pooled ResNet of one or two bottlenecks a layer, batch norms drawn too."""
    generator = torch.Generator().manual_seed(seed)
    out: dict[str, Tensor] = {}

    def conv(name: str, filters: int, channels: int, size: int) -> None:
        scale = (channels * size * size / 2) ** -0.5
        out[f"visual.{name}.weight"] = draw((filters, channels, size, size), scale, generator)

    def norm(name: str, channels: int) -> None:
        out[f"visual.{name}.weight"] = 1 + draw((channels,), 0.2, generator)
        out[f"visual.{name}.bias"] = draw((channels,), 0.2, generator)
        out[f"visual.{name}.running_mean"] = draw((channels,), 0.2, generator)
        out[f"visual.{name}.running_var"] = 0.5 + torch.rand(channels, generator=generator)
        out[f"visual.{name}.num_batches_tracked"] = torch.tensor(3)

    half = width // 2
    for i, (filters, channels) in enumerate(((half, 3), (half, half), (width, half)), 1):
        conv(f"conv{i}", filters, channels, 3)
        norm(f"bn{i}", filters)
    channels = width
    for layer, count in enumerate((1, 2, 1, 1), 1):
        planes = width * 2 ** (layer - 1)
        for block in range(count):
            name = f"layer{layer}.{block}"
            conv(f"{name}.conv1", planes, channels, 1)
            norm(f"{name}.bn1", planes)
            conv(f"{name}.conv2", planes, planes, 3)
            norm(f"{name}.bn2", planes)
            conv(f"{name}.conv3", 4 * planes, planes, 1)
            norm(f"{name}.bn3", 4 * planes)
            if block == 0:
                conv(f"{name}.downsample.0", 4 * planes, channels, 1)
                norm(f"{name}.downsample.1", 4 * planes)
            channels = 4 * planes
    pool = "visual.attnpool."
    out[f"{pool}positional_embedding"] = draw((1 + side * side, channels), 0.5, generator)
    for name, filters in (("q", channels), ("k", channels), ("v", channels), ("c", EMBED)):
        scale = (2.0 if name in "qk" else 1.0) * channels**-0.5
        out[f"{pool}{name}_proj.weight"] = draw((filters, channels), scale, generator)
        out[f"{pool}{name}_proj.bias"] = draw((filters,), 0.1, generator)
    return {**out, **text_state(SIZES, generator)}


def write_openclip(folder: Path, seed: int = 0, *, quick_gelu: bool = True) -> Path:
    """Write a checkpoint as OpenCLIP publishes one, and return its folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(vit_state(seed), folder / "open_clip_model.safetensors")
    config = {
        "model_cfg": {
            "embed_dim": EMBED,
            "quick_gelu": quick_gelu,
            "vision_cfg": {"layers": LAYERS, "width": WIDTH, "patch_size": PATCH},
        },
        "preprocess_cfg": {
            "mean": [0.48145466, 0.4578275, 0.40821073],
            "std": [0.26862954, 0.26130258, 0.27577711],
        },
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
