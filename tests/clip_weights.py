"""Small CLIPs with weights that do not degenerate, for tests; seeded, never downloaded.

A freshly initialised CLIP attends uniformly and gives all places one feature, so wrong code would
pass. Here every tensor is drawn, those that start at zero too, so large that attention is sharp.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

WIDTH, LAYERS, PATCH, IMAGE, EMBED = 64, 4, 16, 64, 48
TEXT_WIDTH, TEXT_LAYERS, VOCABULARY, CONTEXT = 64, 3, 49408, 77


def draw(shape: tuple[int, ...], scale: float, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator) * scale


def transformer(
    prefix: str, width: int, layers: int, mlp: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Weights of blocks whose attention is far from uniform."""
    out: dict[str, Tensor] = {}
    for i in range(layers):
        name = f"{prefix}transformer.resblocks.{i}."
        for norm in ("ln_1", "ln_2"):
            out[f"{name}{norm}.weight"] = 1 + draw((width,), 0.2, generator)
            out[f"{name}{norm}.bias"] = draw((width,), 0.2, generator)
        joined = draw((3 * width, width), 1.0 * width**-0.5, generator)
        joined[: 2 * width] *= 1.6  # q and k: attention sharper than chance
        out[f"{name}attn.in_proj_weight"] = joined
        out[f"{name}attn.in_proj_bias"] = draw((3 * width,), 0.3, generator)
        out[f"{name}attn.out_proj.weight"] = draw((width, width), width**-0.5, generator)
        out[f"{name}attn.out_proj.bias"] = draw((width,), 0.1, generator)
        out[f"{name}mlp.c_fc.weight"] = draw((mlp, width), width**-0.5, generator)
        out[f"{name}mlp.c_fc.bias"] = draw((mlp,), 0.3, generator)
        out[f"{name}mlp.c_proj.weight"] = draw((width, mlp), mlp**-0.5, generator)
        out[f"{name}mlp.c_proj.bias"] = draw((width,), 0.1, generator)
    return out


def text_state(generator: torch.Generator) -> dict[str, Tensor]:
    return {
        "token_embedding.weight": draw((VOCABULARY, TEXT_WIDTH), 0.5, generator),
        "positional_embedding": draw((CONTEXT, TEXT_WIDTH), 0.5, generator),
        "ln_final.weight": 1 + draw((TEXT_WIDTH,), 0.2, generator),
        "ln_final.bias": draw((TEXT_WIDTH,), 0.2, generator),
        "text_projection": draw((TEXT_WIDTH, EMBED), TEXT_WIDTH**-0.5, generator),
        "logit_scale": torch.tensor(100.0).log(),
        **transformer("", TEXT_WIDTH, TEXT_LAYERS, 4 * TEXT_WIDTH, generator),
    }


def vit_state(seed: int = 0, *, width: int = WIDTH, layers: int = LAYERS) -> dict[str, Tensor]:
    """A state dict with OpenAI's names: one head a 64 values, unless a config says more."""
    generator = torch.Generator().manual_seed(seed)
    side = IMAGE // PATCH
    return {
        "visual.conv1.weight": draw((width, 3, PATCH, PATCH), 2 / PATCH, generator),
        "visual.class_embedding": draw((width,), 1.0, generator),
        "visual.positional_embedding": draw((1 + side * side, width), 1.0, generator),
        "visual.ln_pre.weight": 1 + draw((width,), 0.2, generator),
        "visual.ln_pre.bias": draw((width,), 0.2, generator),
        "visual.ln_post.weight": 1 + draw((width,), 0.2, generator),
        "visual.ln_post.bias": draw((width,), 0.2, generator),
        "visual.proj": draw((width, EMBED), width**-0.5, generator),
        **transformer("visual.", width, layers, 4 * width, generator),
        **text_state(generator),
    }


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
    return {**out, **text_state(generator)}


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
