"""A small SAM 2: with trained weights by Meta's names, with drawn ones as transformers saves it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tests import sam_weights
from torch import Tensor

SIDE = 256  # pixels of the square
HIERA: dict[str, Any] = {
    "blocks": (1, 2, 3, 2), "widths": (12, 24, 48, 96), "heads": (1, 2, 4, 8),
    "windows": (8, 4, 6, 4), "everywhere": (4, 7), "background": (7, 7),
}  # fmt: skip
TRAINED = Path(__file__).parent / "parity" / "golden" / "sam2_weights.npz"
WIDTH, HIDDEN, HEADS, MASK_CHANNELS = 64, 128, 8, 8


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """A weight that depends on its name alone; nothing stays zero, and attention looks around."""
    g = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    value = torch.randn(shape, generator=g)
    kind = (["", *name.split(".")])[-2]
    if "gaussian_matrix" in name or "shared_embedding" in name or "shared_image" in name:
        return value
    if "pos_embed" in name or "embed" in kind or "token" in kind or "mem" in name:
        return 0.7 * value
    if len(shape) == 1:
        one = 1.0 if name.endswith("weight") else 0.0  # of norms
        return one + 0.2 * value
    gain = 2.2 if "q_proj" in name or "k_proj" in name else 1.4
    return gain * value / max(1, value[0].numel()) ** 0.5


def meta_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the small SAM 2, read off lexiseg's modules, by Meta's names."""
    from lexiseg.models.sam.decoder import DecoderConfig
    from lexiseg.models.sam.prompts import PromptEncoder
    from lexiseg.models.sam2.decoder import FineDecoder
    from lexiseg.models.sam2.hiera import HieraConfig, PyramidEncoder

    side = SIDE // 16
    with torch.device("meta"):
        parts: Mapping[str, torch.nn.Module] = {
            "image_encoder": PyramidEncoder(HieraConfig(**HIERA, out=WIDTH, side=side)),
            "sam_prompt_encoder": PromptEncoder(WIDTH, MASK_CHANNELS),
            "sam_mask_decoder": FineDecoder(
                DecoderConfig(WIDTH, HIDDEN, MASK_CHANNELS, side, WIDTH, 3, HEADS)
            ),
        }
    out = {"no_mem_embed": (1, 1, WIDTH)}
    for prefix, net in parts.items():
        for name, value in net.state_dict().items():
            name = f"{prefix}.{name}"
            name = name.replace(".mlp.lin1.", ".mlp.layers.0.")
            out[name.replace(".mlp.lin2.", ".mlp.layers.1.")] = tuple(value.shape)
    return out


def trained() -> dict[str, Tensor]:
    """The trained small SAM 2's state dict, float32, Meta's names."""
    return sam_weights.trained(TRAINED)


def published(folder: Path, *, stable: float = 0.98) -> Any:
    """Write the small SAM 2 as transformers saves it, drawn by its own names; return the model."""
    from transformers import Sam2Config, Sam2Model

    side = SIDE // 16
    config = Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model", "hidden_size": HIERA["widths"][0],
                "image_size": [SIDE, SIDE], "blocks_per_stage": list(HIERA["blocks"]),
                "embed_dim_per_stage": list(HIERA["widths"]),
                "num_attention_heads_per_stage": list(HIERA["heads"]),
                "window_size_per_stage": list(HIERA["windows"]),
                "global_attention_blocks": list(HIERA["everywhere"]),
                "window_positional_embedding_background_size": list(HIERA["background"]),
            },
            "backbone_channel_list": list(reversed(HIERA["widths"])),
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
            "dynamic_multimask_stability_thresh": stable,
        },
    )  # fmt: skip
    model = Sam2Model(config).eval()
    for name, value in model.named_parameters():
        value.data = drawn(name, tuple(value.shape))
    shared = drawn("shared_embedding", (2, WIDTH // 2))
    model.shared_image_embedding.positional_embedding.data.copy_(shared)
    model.prompt_encoder.shared_embedding.positional_embedding.data.copy_(shared)
    model.save_pretrained(folder)
    return model
