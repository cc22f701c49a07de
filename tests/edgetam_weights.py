"""A small EdgeTAM with drawn weights, as transformers saves one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.sam2_weights import HEADS, HIDDEN, MASK_CHANNELS, SIDE, WIDTH, drawn


def published(folder: Path) -> Any:
    """Write it, and return the model."""
    from transformers import EdgeTamConfig, EdgeTamModel, TimmWrapperConfig

    side = SIDE // 16
    config = EdgeTamConfig(
        vision_config={
            "backbone_config": TimmWrapperConfig(
                architecture="repvit_m0_9",
                model_args={
                    "in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3],
                    "embed_dim": [16, 24, 32, 48], "depth": [1, 1, 2, 1],
                },
            ),
            "backbone_channel_list": [48, 32, 24, 16],
            "backbone_feature_sizes": [[4 * side] * 2, [2 * side] * 2, [side] * 2],
            "fpn_hidden_size": WIDTH,
        },
        prompt_encoder_config={
            "hidden_size": WIDTH, "image_size": SIDE, "patch_size": 16,
            "mask_input_channels": MASK_CHANNELS,
        },
        mask_decoder_config={
            "hidden_size": WIDTH, "mlp_dim": HIDDEN, "num_attention_heads": HEADS,
            "iou_head_hidden_dim": WIDTH, "iou_head_depth": 3,
        },
    )  # fmt: skip
    model = EdgeTamModel(config).eval()
    for name, value in model.named_parameters():
        # The backbone's batch norms have no "norm" in their names: ones and small numbers do.
        value.data = drawn(name, tuple(value.shape))
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.data = 1 + drawn(name, tuple(buffer.shape)).abs()
    shared = drawn("shared_embedding", (2, WIDTH // 2))
    model.shared_image_embedding.positional_embedding.data.copy_(shared)
    model.prompt_encoder.shared_embedding.positional_embedding.data.copy_(shared)
    model.save_pretrained(folder)
    return model
