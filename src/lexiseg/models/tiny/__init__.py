"""The model inside the package: an encoder of pictures and words, and a masker that shares it."""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import Encoder, Masker

__all__ = ["build_encoder", "build_masker"]


def build_encoder(checkpoint: Checkpoint, compute: Compute) -> Encoder:
    """Build the encoder from verified files."""
    from lexiseg.models.tiny.encoder import from_checkpoint

    return from_checkpoint(checkpoint, compute)


def build_masker(checkpoint: Checkpoint, compute: Compute) -> Masker:
    """Build the masker from verified files."""
    from lexiseg.models.tiny.masker import from_checkpoint

    return from_checkpoint(checkpoint, compute)
