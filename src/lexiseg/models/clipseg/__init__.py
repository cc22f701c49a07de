"""CLIPSeg in plain torch: a CLIP, and a decoder that draws one map for each prompt."""

from __future__ import annotations

from collections.abc import Callable

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.models.tiny import HEAD
from lexiseg.protocols import PromptedModel

__all__ = ["build_prompted"]


def build_prompted(
    checkpoint: Checkpoint, compute: Compute, backbone: Callable[[str], object]
) -> PromptedModel:
    """Build the model from verified files.

    backbone: loads the encoder that a decoder without one of its own is put on, by name; one of
    the bundled kind is put on the bundled encoder.
    """
    if HEAD in checkpoint.paths:
        from lexiseg.models.tiny.film import on_backbone

        return on_backbone(checkpoint, backbone)
    from lexiseg.models.clipseg.model import from_checkpoint

    return from_checkpoint(checkpoint, compute, backbone)
