"""SAM's image encoder as a source of attention: which places attend to which in its last block."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, skip_init
from lexiseg.errors import CheckpointError
from lexiseg.models.sam.encoder import LastAttention, PictureEncoder, encoder_config
from lexiseg.models.sam.weights import encoder_state, read_weights, weights_file

__all__ = ["SamTrunk", "from_checkpoint", "scaled_pixels", "trunk_of"]

_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class SamTrunk:
    """Protocol ``AttentionSource`` over SAM's picture encoder."""

    def __init__(
        self,
        net: PictureEncoder,
        compute: Compute,
        *,
        name: str,
        sha256: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.sha256: Mapping[str, str] = dict(sha256 or {})
        self.device_name, self.dtype_name = compute.device_name, compute.dtype_name
        self._net, self._compute = net.to(compute.device), compute

    @torch.inference_mode()
    def whole_attention(self, rgb: NDArray[np.uint8]) -> LastAttention:
        """Look at a picture, (H, W, 3): its long side becomes SAM's own."""
        config = self._net.config
        pixels, (height, width) = scaled_pixels(rgb, config.side * config.patch)
        grid_hw = (max(1, height // config.patch), max(1, width // config.patch))
        with self._compute.autocast():
            return self._net.last_attention(pixels.to(self._compute.device), grid_hw)


def scaled_pixels(rgb: NDArray[np.uint8], target: int) -> tuple[Tensor, tuple[int, int]]:
    """The long side at ``target``, normalised, padded: (1, 3, target, target), and its own size.

    As ``ResizeLongestSide`` of Meta's code: Pillow's bilinear, sizes rounded half up.
    """
    factor = target / max(rgb.shape[:2])
    height, width = (max(1, int(side * factor + 0.5)) for side in rgb.shape[:2])
    small = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1).float()
    mean, std = torch.tensor(_MEAN)[:, None, None], torch.tensor(_STD)[:, None, None]
    pixels = F.pad((pixels - mean) / std, (0, target - width, 0, target - height))
    return pixels[None], (height, width)


def from_checkpoint(checkpoint: Checkpoint, compute: Compute) -> SamTrunk:
    """Build the trunk. Raises CheckpointError where weights are missing or do not fit."""
    net = trunk_of(encoder_state(read_weights(weights_file(checkpoint))))
    return SamTrunk(net, compute, name=checkpoint.record.name, sha256=checkpoint.sha256)


def trunk_of(state: Mapping[str, Tensor]) -> PictureEncoder:
    """The encoder that these weights (Meta's names, no prefix) describe, filled with them."""
    config = encoder_config(state)
    with skip_init():
        net = PictureEncoder(config)
    try:
        net.load_state_dict({k: v.float() for k, v in state.items()}, strict=True, assign=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"SAM's weights do not fit their own sizes ({error}); copy or pull them again"
        ) from error
    return net.eval().requires_grad_(False)
