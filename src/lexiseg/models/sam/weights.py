"""Published SAM weights of either format, as one state dict with Meta's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.errors import CheckpointError

__all__ = ["encoder_state", "read_weights"]

# transformers' names of the picture encoder -> Meta's.
_ENCODER = (
    (re.compile(r"^vision_encoder\."), "image_encoder."),
    (re.compile(r"patch_embed\.projection\."), "patch_embed.proj."),
    (re.compile(r"image_encoder\.layers\."), "image_encoder.blocks."),
    (re.compile(r"(blocks\.\d+)\.layer_norm([12])\."), r"\1.norm\2."),
    (re.compile(r"neck\.conv1\."), "neck.0."),
    (re.compile(r"neck\.layer_norm1\."), "neck.1."),
    (re.compile(r"neck\.conv2\."), "neck.2."),
    (re.compile(r"neck\.layer_norm2\."), "neck.3."),
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read Meta's .pth (as tensors only: no pickled code is run) or transformers' safetensors."""
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return dict(state.get("model", state))
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not hold SAM's weights ({error}); copy or pull it again"
        ) from error


def encoder_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The picture encoder's weights, by Meta's names without their prefix."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        for pattern, meta in _ENCODER:
            name = pattern.sub(meta, name)
        if name.startswith("image_encoder."):
            out[name.removeprefix("image_encoder.")] = value
    return out
