"""The tracker of a small SAM 3 with drawn weights, in the layout that is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.sam2_weights import drawn

SIDE, WIDTH, HIDDEN, HEADS, MASK_CHANNELS = 112, 32, 48, 4, 8


def published(folder: Path) -> Any:
    """Write the part of it that single pictures want, and return the model."""
    from safetensors.torch import save_file
    from transformers import Sam3TrackerConfig, Sam3TrackerModel

    cells = SIDE // 14
    config = Sam3TrackerConfig(
        vision_config={
            "model_type": "sam3_vision_model",
            "backbone_config": {
                "model_type": "sam3_vit_model", "hidden_size": 48, "intermediate_size": 64,
                "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": SIDE,
                "window_size": 4, "global_attn_indexes": [1, 2], "pretrain_image_size": 56,
                "rope_parameters": {"rope_theta": 10000.0, "rope_type": "axial"},
            },
            "fpn_hidden_size": WIDTH,
            "backbone_feature_sizes": [[4 * cells] * 2, [2 * cells] * 2, [cells] * 2],
        },
        prompt_encoder_config={
            "hidden_size": WIDTH, "image_size": SIDE, "patch_size": 14,
            "mask_input_channels": MASK_CHANNELS,
        },
        mask_decoder_config={
            "hidden_size": WIDTH, "mlp_dim": HIDDEN, "num_attention_heads": HEADS,
            "iou_head_hidden_dim": WIDTH, "iou_head_depth": 3,
        },
    )  # fmt: skip
    model = Sam3TrackerModel(config).eval()
    for name, value in model.named_parameters():
        value.data = drawn(name, tuple(value.shape))
    shared = drawn("shared_embedding", (2, WIDTH // 2))
    model.shared_image_embedding.positional_embedding.data.copy_(shared)
    model.prompt_encoder.shared_embedding.positional_embedding.data.copy_(shared)
    state = {_published(name): value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    whole = {"model_type": "sam3_video", "tracker_config": config.to_dict()}
    (folder / "config.json").write_text(json.dumps(whole), "utf-8")
    return model


def _published(name: str) -> str:
    """The name in the file of the whole SAM 3, where detector and tracker share the backbone."""
    for start, there in (
        ("vision_encoder.backbone.", "detector_model.vision_encoder.backbone."),
        ("vision_encoder.neck.", "tracker_neck."),
    ):
        if name.startswith(start):
            return there + name.removeprefix(start)
    return f"tracker_model.{name}"
