"""CLIP in plain torch: OpenAI's, OpenCLIP's and transformers' weights load as they are."""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import Encoder

__all__ = ["build_encoder"]


def build_encoder(checkpoint: Checkpoint, compute: Compute) -> Encoder:
    """Build the encoder from verified files."""
    from lexiseg.models.clip.encoder import from_checkpoint

    return from_checkpoint(checkpoint, compute)
