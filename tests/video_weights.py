"""Small video models of transformers with drawn weights: SAM 2, SAM 3's tracker, EdgeTAM."""

from __future__ import annotations

import sys
from typing import Any

from tests.sam2_weights import drawn

__all__ = ["MODELS", "edgetam", "sam2", "sam3", "session_of"]

WIDTH = 128


def session_of(net: Any) -> Any:
    """Return the session class that belongs to a model."""
    module = sys.modules[type(net).__module__]
    return getattr(module, type(net).__name__.removesuffix("Model") + "InferenceSession")


def _fill(net: Any) -> Any:
    for name, value in net.named_parameters():
        value.data = drawn(name, tuple(value.shape))
        if name.endswith("pred_obj_score_head.proj_out.bias"):
            value.data += 20  # the object is there: else every logit is one low number
    return net.eval().requires_grad_(False)


def _common(cells: int, image_size: int, patch: int) -> dict[str, Any]:
    return {
        "prompt_encoder_config": {
            "hidden_size": WIDTH, "image_size": image_size, "patch_size": patch,
            "mask_input_channels": 8,
        },
        "mask_decoder_config": {
            "hidden_size": WIDTH, "mlp_dim": 48, "num_attention_heads": 4,
            "iou_head_hidden_dim": WIDTH, "iou_head_depth": 3,
        },
        "image_size": image_size,
        "memory_attention_hidden_size": WIDTH,
        "memory_attention_num_layers": 2,
        "memory_attention_feed_forward_hidden_size": 48,
        "memory_attention_rope_feat_sizes": [cells, cells],
        "memory_encoder_hidden_size": WIDTH,
        "memory_encoder_output_channels": 64,
        "mask_downsampler_embed_dim": WIDTH,
        "memory_fuser_embed_dim": WIDTH,
        "memory_fuser_intermediate_dim": 48,
        "num_maskmem": 3,
        "max_object_pointers_in_encoder": 4,
    }  # fmt: skip


_HIERA = {
    "model_type": "sam2_vision_model",
    "backbone_config": {
        "model_type": "sam2_hiera_det_model", "hidden_size": 12, "num_attention_heads": 1,
        "image_size": [128, 128], "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [12, 24, 48, 96],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 4, 4], "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [7, 7],
    },
    "backbone_channel_list": [96, 48, 24, 12],
    "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    "fpn_hidden_size": WIDTH,
}  # fmt: skip


def sam2() -> Any:
    """A SAM 2 of 128 pixels a side."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    return _fill(Sam2VideoModel(Sam2VideoConfig(vision_config=_HIERA, **_common(8, 128, 16))))


def edgetam() -> Any:
    """EdgeTAM's memory, 128 pixels a side, behind SAM 2's picture encoder.

    Its own encoder comes from timm, which needs torchvision; the memory is what differs.
    """
    from transformers import EdgeTamVideoConfig, EdgeTamVideoModel

    common = _common(8, 128, 16)
    del common["memory_attention_feed_forward_hidden_size"]
    config = EdgeTamVideoConfig(
        vision_config=_HIERA, **common,
        memory_attention_mlp_hidden_size=48, memory_attention_rope_k_sizes=[4, 4],
        perceiver_resampler_num_latents=16, perceiver_resampler_num_latents_2d=16,
        perceiver_resampler_mlp_intermediate_size=48,
    )  # fmt: skip
    return _fill(EdgeTamVideoModel(config))


def sam3() -> Any:
    """SAM 3's tracker, 112 pixels a side."""
    from transformers import Sam3TrackerVideoConfig, Sam3TrackerVideoModel

    config = Sam3TrackerVideoConfig(
        vision_config={
            "model_type": "sam3_vision_model",
            "backbone_config": {
                "model_type": "sam3_vit_model", "hidden_size": 48, "intermediate_size": 64,
                "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 112,
                "window_size": 4, "global_attn_indexes": [1, 2], "pretrain_image_size": 56,
                "rope_parameters": {"rope_theta": 10000.0, "rope_type": "axial"},
            },
            "fpn_hidden_size": WIDTH,
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        **_common(8, 112, 14),
    )  # fmt: skip
    return _fill(Sam3TrackerVideoModel(config))


MODELS = [sam2, sam3, edgetam]
