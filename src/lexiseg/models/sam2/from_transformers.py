"""Maskers that have SAM 2's prompts and decoder, with a picture encoder of transformers.

SAM 2's own encoder, Hiera, is read in plain torch (``hiera``): it is the one most used, in Meta's
files and in transformers', and importing transformers takes seconds. The encoders of EdgeTAM and
of SAM 3's tracker exist in transformers alone. Prompts, decoder and what a caller holds, a
``Sam2Masker``, are the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute
from lexiseg.models._transformers import load_pretrained
from lexiseg.models.sam2.hiera import Pyramid
from lexiseg.models.sam2.masker import Sam2Masker, decoder_of, decoder_settings
from lexiseg.models.sam2.weights import meta_state

__all__ = ["load_transformers_masker"]


@dataclass(frozen=True)
class _Sizes:
    """side: cells a side; patch: pixels a cell's side."""

    side: int
    patch: int


class _Encoder(nn.Module):
    """transformers' vision model with the interface of ``PyramidEncoder``."""

    def __init__(self, net: Any, config: _Sizes) -> None:
        super().__init__()
        self.net, self.config = net, config

    def forward(self, pixels: Tensor) -> Pyramid:
        fine, middle, coarse = self.net(pixels).fpn_hidden_states[:3]
        return Pyramid(fine[0], middle[0], coarse[0])


def load_transformers_masker(
    class_name: str, checkpoint: Checkpoint, compute: Compute, *, extra: str, **more: Any
) -> Sam2Masker:
    """Build the masker from a folder of transformers, whose ``class_name`` reads it.

    extra: what of lexiseg to install where transformers lacks something. more: of ``Sam2Masker``.
    Raises ExtraMissing, and CheckpointError for damaged weights.
    """
    # Weights stay fp32; what may compute in less does so under autocast.
    whole = load_pretrained(
        class_name, checkpoint["config.json"].parent, replace(compute, dtype=torch.float32),
        extra=extra,
    )  # fmt: skip
    prompt = whole.config.prompt_encoder_config
    sizes = _Sizes(int(prompt.image_size) // int(prompt.patch_size), int(prompt.patch_size))
    heads, stable = decoder_settings(whole.config.to_dict())
    name = checkpoint.record.name
    prompts, decoder, no_memory = decoder_of(
        meta_state(whole.state_dict()), sizes.side, heads, name
    )
    return Sam2Masker(
        _Encoder(whole.vision_encoder, sizes), prompts, decoder, no_memory, compute,
        name=name, sha256=checkpoint.sha256, stable=stable, **more,
    )  # fmt: skip
