"""The model inside the package: an encoder of pictures and words (its masker comes with SAM)."""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import Encoder

__all__ = ["build_encoder"]


def build_encoder(checkpoint: Checkpoint, compute: Compute) -> Encoder:
    """Build the encoder from verified files."""
    from lexiseg.models.tiny.encoder import from_checkpoint

    return from_checkpoint(checkpoint, compute)
