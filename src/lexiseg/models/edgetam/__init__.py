"""EdgeTAM (Zhou et al. 2025, arXiv 2501.07256): SAM 2 with a picture encoder for small devices."""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import Masker, Tracker

__all__ = ["build_masker", "build_tracker"]


def build_masker(checkpoint: Checkpoint, compute: Compute) -> Masker:
    """Build the model from a folder of transformers; needs timm, ``lexiseg[edgetam]``."""
    from lexiseg.models.sam2.from_transformers import load_transformers_masker

    return load_transformers_masker("EdgeTamModel", checkpoint, compute, extra="edgetam")


def build_tracker(checkpoint: Checkpoint, compute: Compute) -> Tracker:
    """Build the model with its memory from the same folder."""
    from lexiseg.models.sam2.video import load_memory_tracker

    return load_memory_tracker("EdgeTamVideoModel", checkpoint, compute, extra="edgetam")
