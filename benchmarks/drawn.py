"""CLIPs with drawn weights that do not degenerate: for tests and for timing without downloads.

A freshly initialised CLIP attends uniformly and gives all places one feature, so wrong code would
pass, and rounding would not show. Here every tensor is drawn, those that start at zero too, so
large that attention is sharp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "B16", "Sizes", "clipseg_state", "clipseg_to_transformers", "draw", "text_state",
    "to_transformers", "transformer", "vit_state",
]  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """Sizes of both towers of a CLIP with a vision transformer."""

    width: int = 64
    layers: int = 4
    patch: int = 16
    image: int = 64
    embed: int = 48
    text_width: int = 64
    text_layers: int = 3
    vocabulary: int = 49408
    context: int = 77


B16 = Sizes(768, 12, 16, 224, 512, 512, 12)  # ViT-B/16 as OpenAI published it


def draw(shape: tuple[int, ...], scale: float, generator: torch.Generator) -> Tensor:
    """Return numbers around 0 with this standard deviation."""
    return torch.randn(shape, generator=generator) * scale


def transformer(
    prefix: str, width: int, layers: int, mlp: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return weights of blocks whose attention is far from uniform, with OpenAI's names."""
    out: dict[str, Tensor] = {}
    for i in range(layers):
        name = f"{prefix}transformer.resblocks.{i}."
        for norm in ("ln_1", "ln_2"):
            out[f"{name}{norm}.weight"] = 1 + draw((width,), 0.2, generator)
            out[f"{name}{norm}.bias"] = draw((width,), 0.2, generator)
        joined = draw((3 * width, width), 1.0 * width**-0.5, generator)
        joined[: 2 * width] *= 1.6  # q and k: attention sharper than probability
        out[f"{name}attn.in_proj_weight"] = joined
        out[f"{name}attn.in_proj_bias"] = draw((3 * width,), 0.3, generator)
        out[f"{name}attn.out_proj.weight"] = draw((width, width), width**-0.5, generator)
        out[f"{name}attn.out_proj.bias"] = draw((width,), 0.1, generator)
        out[f"{name}mlp.c_fc.weight"] = draw((mlp, width), width**-0.5, generator)
        out[f"{name}mlp.c_fc.bias"] = draw((mlp,), 0.3, generator)
        out[f"{name}mlp.c_proj.weight"] = draw((width, mlp), mlp**-0.5, generator)
        out[f"{name}mlp.c_proj.bias"] = draw((width,), 0.1, generator)
    return out


def text_state(sizes: Sizes, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the text tower, and the scale of cosines."""
    width = sizes.text_width
    return {
        "token_embedding.weight": draw((sizes.vocabulary, width), 0.5, generator),
        "positional_embedding": draw((sizes.context, width), 0.5, generator),
        "ln_final.weight": 1 + draw((width,), 0.2, generator),
        "ln_final.bias": draw((width,), 0.2, generator),
        "text_projection": draw((width, sizes.embed), width**-0.5, generator),
        "logit_scale": torch.tensor(100.0).log(),
        **transformer("", width, sizes.text_layers, 4 * width, generator),
    }


def vit_state(sizes: Sizes, seed: int = 0) -> dict[str, Tensor]:
    """Return a state dict with OpenAI's names."""
    generator = torch.Generator().manual_seed(seed)
    width, side = sizes.width, sizes.image // sizes.patch
    return {
        "visual.conv1.weight": draw(
            (width, 3, sizes.patch, sizes.patch), 2 / sizes.patch, generator
        ),
        "visual.class_embedding": draw((width,), 1.0, generator),
        "visual.positional_embedding": draw((1 + side * side, width), 1.0, generator),
        "visual.ln_pre.weight": 1 + draw((width,), 0.2, generator),
        "visual.ln_pre.bias": draw((width,), 0.2, generator),
        "visual.ln_post.weight": 1 + draw((width,), 0.2, generator),
        "visual.ln_post.bias": draw((width,), 0.2, generator),
        "visual.proj": draw((width, sizes.embed), width**-0.5, generator),
        **transformer("visual.", width, sizes.layers, 4 * width, generator),
        **text_state(sizes, generator),
    }


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names -> transformers', written on its own: not the inverse of a table."""
    out: dict[str, Tensor] = {}
    for tower, prefix in (("vision_model", "visual."), ("text_model", "")):
        for i in range(100):
            old, new = f"{prefix}transformer.resblocks.{i}.", f"{tower}.encoder.layers.{i}."
            if f"{old}ln_1.weight" not in state:
                break
            for kind in ("weight", "bias"):
                for part, name in zip(
                    state[f"{old}attn.in_proj_{kind}"].chunk(3), "qkv", strict=True
                ):
                    out[f"{new}self_attn.{name}_proj.{kind}"] = part.clone()
                out[f"{new}self_attn.out_proj.{kind}"] = state[f"{old}attn.out_proj.{kind}"]
                out[f"{new}layer_norm1.{kind}"] = state[f"{old}ln_1.{kind}"]
                out[f"{new}layer_norm2.{kind}"] = state[f"{old}ln_2.{kind}"]
                out[f"{new}mlp.fc1.{kind}"] = state[f"{old}mlp.c_fc.{kind}"]
                out[f"{new}mlp.fc2.{kind}"] = state[f"{old}mlp.c_proj.{kind}"]
    for kind in ("weight", "bias"):
        out[f"vision_model.pre_layrnorm.{kind}"] = state[f"visual.ln_pre.{kind}"]
        out[f"vision_model.post_layernorm.{kind}"] = state[f"visual.ln_post.{kind}"]
        out[f"text_model.final_layer_norm.{kind}"] = state[f"ln_final.{kind}"]
    vision, text = "vision_model.embeddings.", "text_model.embeddings."
    out[f"{vision}class_embedding"] = state["visual.class_embedding"]
    out[f"{vision}patch_embedding.weight"] = state["visual.conv1.weight"]
    out[f"{vision}position_embedding.weight"] = state["visual.positional_embedding"]
    out[f"{text}token_embedding.weight"] = state["token_embedding.weight"]
    out[f"{text}position_embedding.weight"] = state["positional_embedding"]
    out["visual_projection.weight"] = state["visual.proj"].T.contiguous()
    out["text_projection.weight"] = state["text_projection"].T.contiguous()
    out["logit_scale"] = state["logit_scale"]
    return out


def clipseg_state(
    reduce_dim: int, *, refined: bool, steps: int, width: int, cond: int, cell: int, seed: int = 0,
    mlp: int = 2048,
) -> dict[str, Tensor]:  # fmt: skip
    """Return a CLIPSeg decoder with its authors' names, whose attention is far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    out: dict[str, Tensor] = {}

    def linear(name: str, filters: int, channels: int, scale: float = 1.0) -> None:
        out[f"{name}.weight"] = draw((filters, channels), scale * channels**-0.5, generator)
        out[f"{name}.bias"] = draw((filters,), 0.2, generator)

    def conv(name: str, shape: tuple[int, ...], out_channels: int, scale: float) -> None:
        out[f"{name}.weight"] = draw(shape, scale, generator)
        out[f"{name}.bias"] = draw((out_channels,), 0.1, generator)

    for name in ("film_mul", "film_add"):
        linear(name, reduce_dim, cond)
    for i in range(steps):
        linear(f"reduces.{i}", reduce_dim, width)
        block = f"blocks.{i}"
        for norm in ("norm1", "norm2"):
            out[f"{block}.{norm}.weight"] = 1 + draw((reduce_dim,), 0.2, generator)
            out[f"{block}.{norm}.bias"] = draw((reduce_dim,), 0.2, generator)
        linear(f"{block}.self_attn.in_proj_", 3 * reduce_dim, reduce_dim)
        for kind in ("weight", "bias"):
            joined = out.pop(f"{block}.self_attn.in_proj_.{kind}")
            joined[: 2 * reduce_dim] *= 2.2  # q and k: attention sharper than probability
            out[f"{block}.self_attn.in_proj_{kind}"] = joined
        linear(f"{block}.self_attn.out_proj", reduce_dim, reduce_dim)
        linear(f"{block}.linear1", mlp, reduce_dim)
        linear(f"{block}.linear2", reduce_dim, mlp)
    if refined:
        half, side = reduce_dim // 2, cell // 4
        conv("trans_conv.0", (reduce_dim, reduce_dim, 3, 3), reduce_dim, (reduce_dim * 9) ** -0.5)
        conv("trans_conv.2", (reduce_dim, half, side, side), half, reduce_dim**-0.5)
        conv("trans_conv.4", (half, 1, side, side), 1, 0.6 * half**-0.5)
    else:
        conv("trans_conv", (reduce_dim, 1, cell, cell), 1, 0.4 * reduce_dim**-0.5)
    return out


def clipseg_to_transformers(
    clip: Mapping[str, Tensor], decoder: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """OpenAI's and CLIPSeg's names -> transformers' CLIPSegForImageSegmentation's."""
    out = {f"clip.{name}": value for name, value in to_transformers(clip).items()}
    for name, value in decoder.items():
        parts = name.split(".")
        if parts[0] == "trans_conv":
            out[".".join(["decoder", "transposed_convolution", *parts[1:]])] = value
        elif parts[0] != "blocks":
            out[f"decoder.{name}"] = value
        elif "in_proj" in name:
            kind = name.rpartition("_")[2]
            for part, letter in zip(value.chunk(3), "qkv", strict=True):
                key = f"decoder.layers.{parts[1]}.self_attn.{letter}_proj.{kind}"
                out[key] = part.clone()
        else:
            theirs = {
                "linear1": "mlp.fc1", "linear2": "mlp.fc2", "norm1": "layer_norm1",
                "norm2": "layer_norm2", "self_attn": "self_attn.out_proj",
            }[parts[2]]  # fmt: skip
            out[f"decoder.layers.{parts[1]}.{theirs}.{parts[-1]}"] = value
    return out
