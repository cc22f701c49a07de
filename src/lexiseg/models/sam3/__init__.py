"""SAM 3 (Carion et al. 2025, arXiv 2511.16719): finds and draws all things of a concept."""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import ExampleDetector

__all__ = ["build_detector"]


def build_detector(checkpoint: Checkpoint, compute: Compute) -> ExampleDetector:
    """Build the model from a folder of transformers; needs torchvision, ``lexiseg[sam3]``."""
    from lexiseg.models.sam3.detector import Sam3

    return Sam3(checkpoint, compute)
