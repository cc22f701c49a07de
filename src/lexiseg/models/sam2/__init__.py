"""SAM 2 and 2.1 (Ravi et al. 2024, arXiv 2408.00714) as masker and tracker."""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import Masker, Tracker

__all__ = ["build_masker", "build_tracker"]


def build_masker(checkpoint: Checkpoint, compute: Compute) -> Masker:
    """Build the model from verified files: Meta's .pt, or a folder of transformers."""
    from lexiseg.models.sam2.masker import from_checkpoint

    return from_checkpoint(checkpoint, compute)


def build_tracker(checkpoint: Checkpoint, compute: Compute) -> Tracker:
    """Build the model with its memory from a folder of transformers."""
    from lexiseg.models.sam2.video import load_memory_tracker

    return load_memory_tracker("Sam2VideoModel", checkpoint, compute, extra="sam2")
