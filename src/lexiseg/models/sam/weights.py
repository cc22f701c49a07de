"""Published SAM weights of either format, as one state dict with Meta's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.checkpoints import Checkpoint
from lexiseg.errors import CheckpointError

__all__ = ["encoder_state", "meta_state", "part", "read_weights", "weights_file"]

# transformers' names -> Meta's, in this order.
_RULES = tuple(
    (re.compile(old), new)
    for old, new in (
        (r"^vision_encoder\.", "image_encoder."),
        (r"patch_embed\.projection\.", "patch_embed.proj."),
        (r"image_encoder\.layers\.", "image_encoder.blocks."),
        (r"(blocks\.\d+)\.layer_norm([12])\.", r"\1.norm\2."),
        (r"neck\.conv1\.", "neck.0."),
        (r"neck\.layer_norm1\.", "neck.1."),
        (r"neck\.conv2\.", "neck.2."),
        (r"neck\.layer_norm2\.", "neck.3."),
        (
            r"^(shared_image_embedding|prompt_encoder\.shared_embedding)\.positional_embedding$",
            "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        ),
        (r"prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
        (r"mask_embed\.conv1\.", "mask_downscaling.0."),
        (r"mask_embed\.layer_norm1\.", "mask_downscaling.1."),
        (r"mask_embed\.conv2\.", "mask_downscaling.3."),
        (r"mask_embed\.layer_norm2\.", "mask_downscaling.4."),
        (r"mask_embed\.conv3\.", "mask_downscaling.6."),
        (r"(transformer\.layers\.\d+)\.layer_norm([1234])\.", r"\1.norm\2."),
        (r"layer_norm_final_attn\.", "norm_final_attn."),
        (r"mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
        (r"mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
        (r"mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    )
)
# An MLP's first layer, those between, and the last, which has the number behind them.
_MLP = re.compile(
    r"^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+)\.)"
    r"(?:(proj_in)|layers\.(\d+)|(proj_out))\."
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read Meta's .pth (as tensors only: no pickled code is run) or transformers' safetensors."""
    from pickle import UnpicklingError

    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return dict(state.get("model", state))
    except (
        OSError, RuntimeError, ValueError, TypeError, AttributeError, UnpicklingError, EOFError,
    ) as error:  # fmt: skip
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise CheckpointError(
            f"{path} does not hold SAM's weights ({reason}); copy or pull it again"
        ) from error


def weights_file(checkpoint: Checkpoint) -> Path:
    """The one file of weights that a checkpoint has; raises CheckpointError."""
    files = [p for n, p in checkpoint.paths.items() if n.endswith((".safetensors", ".pth", ".pt"))]
    if len(files) != 1:
        raise CheckpointError(
            f"{checkpoint.record.name!r} has {len(files)} files of weights; its record names one"
        )
    return files[0]


def meta_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All weights, by Meta's names."""
    if "shared_image_embedding.positional_embedding" not in state and not any(
        name.startswith("vision_encoder.") for name in state
    ):
        return dict(state)
    between: dict[str, int] = {}
    for name in state:
        if (match := _MLP.match(name)) and match[3] is not None:
            between[match[1]] = max(between.get(match[1], 0), int(match[3]) + 1)
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if match := _MLP.match(name):
            middle = between.get(match[1], 0)
            number = 0 if match[2] else middle + 1 if match[4] else int(match[3]) + 1
            name = f"{match[1]}layers.{number}.{name[match.end() :]}"
        for pattern, meta in _RULES:
            name = pattern.sub(meta, name)
        out[name] = value
    return out


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin so, without that beginning."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def encoder_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The picture encoder's weights, by Meta's names without their prefix."""
    return part(meta_state(state), "image_encoder.")
