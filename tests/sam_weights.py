"""A small SAM, trained for half an hour on the official code: its weights by Meta's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SIZES: dict[str, Any] = {
    "image": 256, "patch": 16, "width": 64, "layers": 4, "heads": 2, "hidden": 256, "window": 7,
    "global": (1, 3), "dim": 64, "mlp": 128, "mask_channels": 8,
}  # fmt: skip
TRAINED = Path(__file__).parent / "parity" / "golden" / "sam_weights.npz"


def quantised(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Matrices in 8 bits with a scale a row; the rest in 16 bits."""
    out = {}
    for name, value in state.items():
        if value.ndim < 2 or min(value.shape) < 4:
            out[name] = value.detach().numpy().astype(np.float16)
            continue
        rows = value.detach().flatten(1)
        scale = rows.abs().amax(1, keepdim=True).clamp_min(1e-8) / 127
        out[f"{name}:scale"] = scale.numpy().astype(np.float32)
        out[name] = (rows / scale).round().to(torch.int8).reshape(value.shape).numpy()
    return out


def trained(path: Path = TRAINED) -> dict[str, Tensor]:
    """The trained small SAM's state dict, float32, Meta's names."""
    out = {}
    with np.load(path) as file:
        for name in file.files:
            if name.endswith(":scale"):
                continue
            value = torch.from_numpy(file[name].astype(np.float32))
            if f"{name}:scale" in file.files:
                scale = torch.from_numpy(file[f"{name}:scale"])
                value = (value.flatten(1) * scale).reshape(value.shape)
            out[name] = value
    return out


def published_folder(folder: Path, *, image: int = 128, width: int = 32, layers: int = 2) -> Path:
    """A tiny SAM with drawn weights, as transformers saves one; returns the folder.

    image: pixels of the side that it encodes. width, layers: of its picture encoder.
    """
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 2,
            "image_size": image, "patch_size": 16, "window_size": 3, "global_attn_indexes": [1],
            "output_channels": 32, "mlp_dim": 2 * width, "num_pos_feats": 16,
        },
        prompt_encoder_config={
            "hidden_size": 32, "image_size": image, "patch_size": 16, "mask_input_channels": 8,
        },
        mask_decoder_config={
            "hidden_size": 32, "mlp_dim": 48, "num_attention_heads": 4, "iou_head_hidden_dim": 24,
            "iou_head_depth": 3,
        },
    )  # fmt: skip
    model = SamModel(config)
    g = torch.Generator().manual_seed(3)
    for name, value in model.named_parameters():
        drawn = torch.randn(value.shape, generator=g)
        if value.ndim == 1:
            one = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            value.data = one + 0.2 * drawn
        elif "rel_pos" in name or "pos_embed" in name or "embed" in name.split(".")[-2]:
            value.data = 0.5 * drawn
        else:
            value.data = 1.5 * drawn / value.shape[1:].numel() ** 0.5
    shared = torch.randn(2, 16, generator=g)
    model.shared_image_embedding.positional_embedding.data.copy_(shared)
    model.prompt_encoder.shared_embedding.positional_embedding.data.copy_(shared)
    model.save_pretrained(folder)
    return folder
