"""SAM 2 and 2.1 (Ravi et al. 2024, arXiv 2408.00714) as a masker of single pictures."""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import Masker

__all__ = ["build_masker"]


def build_masker(checkpoint: Checkpoint, compute: Compute) -> Masker:
    """Build the model from verified files: Meta's .pt, or a folder of transformers."""
    from lexiseg.models.sam2.masker import from_checkpoint

    return from_checkpoint(checkpoint, compute)
