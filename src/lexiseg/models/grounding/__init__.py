"""Detectors that find boxes by words: Grounding DINO and OWLv2, in transformers' layout."""

from __future__ import annotations

import json

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.errors import CheckpointError
from lexiseg.protocols import Detector

__all__ = ["build_detector"]


def build_detector(checkpoint: Checkpoint, compute: Compute) -> Detector:
    """Build the detector that the checkpoint's config.json names."""
    config = json.loads(checkpoint["config.json"].read_text("utf-8"))
    kind = str(config.get("model_type", ""))
    if kind == "grounding-dino":
        from lexiseg.models.grounding.dino import GroundingDino

        return GroundingDino(checkpoint, compute)
    if kind == "owlv2":
        from lexiseg.models.grounding.owl import Owl

        return Owl(checkpoint, compute)
    raise CheckpointError(
        f"{checkpoint.record.name!r} is of the kind {kind!r}; grounding-dino and owlv2 are read"
    )
