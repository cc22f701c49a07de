"""SAM: for now the picture encoder's last attention, which Trident gathers by."""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import Correlator

__all__ = ["build_correlator"]


def build_correlator(checkpoint: Checkpoint, compute: Compute) -> Correlator:
    """Build the picture encoder from verified files: Meta's .pth, or a folder of transformers."""
    from lexiseg.models.sam.trunk import from_checkpoint

    return from_checkpoint(checkpoint, compute)
