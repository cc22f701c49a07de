"""The dense method: how it encodes an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexiseg.errors import OptionError
from lexiseg.methods._dense_segmenter import DenseSegmenter
from lexiseg.methods.dense.config import Config
from lexiseg.protocols import AttentionEncoder, Encoder, LoadOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.stages.clip_windows import Windows
    from lexiseg.stages.encoder_windows import Features

__all__ = ["Segmenter", "load"]

_OF_CLIP = ("readout", "layers", "stride", "logit_scale", "area_threshold")


class Segmenter(DenseSegmenter):
    """Call it with an image and words; see ``BaseSegmenter.__call__``."""

    name = "dense"

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__(encoder, config)
        if isinstance(encoder, AttentionEncoder):
            return
        for name in _OF_CLIP:
            if getattr(config, name):
                raise OptionError(f"{name} is for CLIP; leave it out with {encoder.name!r}")
        if config.refine == "pamr":
            raise OptionError(f"refine 'pamr' is for CLIP; use 'guided' with {encoder.name!r}")

    def encode_scale(self, rgb: NDArray[np.uint8], scale: float) -> Features | Windows:
        """Encode an image (H, W, 3) whose short side is scaled to ``scale`` times the usual."""
        config, encoder = self.config, self.encoder
        if isinstance(encoder, AttentionEncoder):
            from lexiseg.stages.attention import readout
            from lexiseg.stages.clip_windows import encode_windows

            settings = self.window_settings(scale, ragged=config.ragged, layers=config.layers)
            return encode_windows(encoder, rgb, settings, readout(config.readout or "naclip"))
        from lexiseg.stages.encoder_windows import encode_image

        return encode_image(
            encoder,
            rgb,
            short_side=max(32, round((config.short_side or encoder.size.short_side) * scale)),
            window=config.window or encoder.size.window,
            overlap=config.overlap,
            flip=config.flip,
        )


def load(config: Config, options: LoadOptions) -> Segmenter:
    """Load the encoder that the Config names, and return the segmenter."""
    from lexiseg.models import load_encoder

    return Segmenter(load_encoder(config.encoder, **vars(options)), config)
