"""The model inside the package: an encoder of pictures and words, and a masker that shares it."""

from __future__ import annotations

from collections.abc import Callable

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.errors import OptionError
from lexiseg.protocols import Encoder, Masker, PromptedModel, Tracker

__all__ = [
    "HEAD",
    "MASKER",
    "PICTURES",
    "build_encoder",
    "build_masker",
    "build_prompted",
    "build_tracker",
]

HEAD = "film.safetensors"  # what `lexiseg train clipseg` writes
MASKER = "masker.safetensors"  # masks for points and boxes, on the picture side
PICTURES = "vision.safetensors"  # the picture side, on which a head is trained


def build_encoder(checkpoint: Checkpoint, compute: Compute) -> Encoder:
    """Build the encoder from verified files."""
    from lexiseg.models.tiny.encoder import from_checkpoint

    return from_checkpoint(checkpoint, compute)


def build_prompted(
    checkpoint: Checkpoint, compute: Compute, backbone: Callable[[str], object]
) -> PromptedModel:
    """Build the encoder as a model that draws maps for prompts."""
    from lexiseg.models.tiny.encoder import from_checkpoint
    from lexiseg.models.tiny.prompted import TinyPrompted

    return TinyPrompted(from_checkpoint(checkpoint, compute))


def build_tracker(checkpoint: Checkpoint, compute: Compute) -> Tracker:
    """Build the tracker: the encoder's backbone and the masker on it."""
    from lexiseg.models.tiny.encoder import from_checkpoint
    from lexiseg.models.tiny.masker import TinyMasker
    from lexiseg.models.tiny.masker import from_checkpoint as masker_from
    from lexiseg.models.tiny.tracker import TinyTracker

    masker = masker_from(checkpoint, compute)
    assert isinstance(masker, TinyMasker)
    return TinyTracker(from_checkpoint(checkpoint, compute), masker)


def build_masker(checkpoint: Checkpoint, compute: Compute) -> Masker:
    """Build the masker from verified files. Raises OptionError where it is to be compiled."""
    from lexiseg.models.tiny.masker import from_checkpoint

    if compute.compile:  # torch 2.13 makes C++ of its mask net that no compiler takes
        raise OptionError(
            f"{checkpoint.record.name!r} cannot be compiled; leave compile off, or choose another "
            "mask model"
        )
    return from_checkpoint(checkpoint, compute)
