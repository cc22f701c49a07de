"""SAM 3 (Carion et al. 2025, arXiv 2511.16719): finds and draws all things of a concept.

Its tracker's prompts are a masker: points, boxes and rough masks on the same picture encoder.
"""

from __future__ import annotations

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.protocols import ExampleDetector, Masker, Tracker

__all__ = ["build_detector", "build_masker", "build_tracker"]


def build_detector(checkpoint: Checkpoint, compute: Compute) -> ExampleDetector:
    """Build the model from a folder of transformers; needs torchvision, ``lexiseg[sam3]``."""
    from lexiseg.models.sam3.detector import Sam3

    return Sam3(checkpoint, compute)


def build_masker(checkpoint: Checkpoint, compute: Compute) -> Masker:
    """Build its tracker's image part, for points and boxes, from the same folder."""
    from lexiseg.models.sam2.from_transformers import load_transformers_masker

    half = (0.5, 0.5, 0.5)
    return load_transformers_masker(
        "Sam3TrackerModel", checkpoint, compute, extra="sam3", mean=half, std=half
    )


def build_tracker(checkpoint: Checkpoint, compute: Compute) -> Tracker:
    """Build its tracker with its memory from the same folder."""
    from lexiseg.models.sam2.video import load_memory_tracker

    half = (0.5, 0.5, 0.5)
    return load_memory_tracker(
        "Sam3TrackerVideoModel", checkpoint, compute, extra="sam3", colours=(half, half)
    )
