"""SAM: masks of points and boxes; and its last attention, which Trident gathers by."""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import AttentionSource, Masker

__all__ = ["build_attention_source", "build_masker"]


def build_attention_source(checkpoint: Checkpoint, compute: Compute) -> AttentionSource:
    """Build the picture encoder from verified files: Meta's .pth, or a folder of transformers."""
    from lexiseg.models.sam.trunk import from_checkpoint

    return from_checkpoint(checkpoint, compute)


def build_masker(checkpoint: Checkpoint, compute: Compute) -> Masker:
    """Build the whole model from verified files: Meta's .pth, or a folder of transformers."""
    from lexiseg.models.sam.masker import from_checkpoint

    return from_checkpoint(checkpoint, compute)
