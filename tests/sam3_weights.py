"""A small SAM 3 with drawn weights, as transformers saves one."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SIDE, WIDTH = 112, 32


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """A weight that depends on its name alone; nothing stays as the library initialises it."""
    g = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    value = torch.randn(shape, generator=g)
    kind = name.split(".")[-2]
    if "embed" in kind or "token" in kind or "reference_points" in name:
        return 0.8 * value
    if "presence_head" in name and shape == (1,):
        return value.abs()
    if len(shape) == 1:
        return (1.0 if name.endswith("weight") else 0.0) + 0.2 * value
    gain = 2.5 if "scoring" in name else 1.3
    return gain * value / max(1, value[0].numel()) ** 0.5


def published(folder: Path) -> Any:
    """Write it with CLIP's tokenizer, and return the model."""
    from transformers import Sam3Config, Sam3Model

    from lexiseg.models.clip.tokenizer import tokenizer

    cells = SIDE // 14
    common = {"hidden_size": WIDTH, "num_attention_heads": 4}
    layers = {**common, "num_layers": 2, "intermediate_size": 48, "dropout": 0.0}
    config = Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model", "hidden_size": 48, "intermediate_size": 64,
                "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": SIDE,
                "window_size": 4, "global_attn_indexes": [1, 2], "pretrain_image_size": 56,
                "rope_parameters": {"rope_theta": 10000.0, "rope_type": "axial"},
            },
            "fpn_hidden_size": WIDTH,
            "backbone_feature_sizes": [[4 * cells] * 2, [2 * cells] * 2, [cells] * 2],
        },
        text_config={
            "vocab_size": 49408, "hidden_size": 24, "intermediate_size": 48, "projection_dim": 16,
            "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32,
            "hidden_act": "gelu",
        },
        geometry_encoder_config={**layers, "roi_size": 3},
        detr_encoder_config=layers,
        detr_decoder_config={**layers, "num_queries": 12},
        mask_decoder_config=common,
    )  # fmt: skip
    model = Sam3Model(config).eval()
    for name, value in model.named_parameters():
        value.data = drawn(name, tuple(value.shape))
    model.save_pretrained(folder)
    tokenizer(None).save(str(folder / "tokenizer.json"))
    return model
