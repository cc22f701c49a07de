"""The dense method: how it looks at a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lexiseg.errors import OptionError
from lexiseg.methods._dense_segmenter import DenseSegmenter
from lexiseg.methods._view import View
from lexiseg.methods.dense.config import Config
from lexiseg.protocols import AttentionEncoder, Encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.imaging import Source
    from lexiseg.methods._view import Seen
    from lexiseg.stages.clip_windows import WindowSettings
    from lexiseg.stages.dense import WordVectors

__all__ = ["Segmenter", "load"]


class Segmenter(DenseSegmenter):
    """Call it with a picture and words; see `DenseSegmenter.__call__`."""

    name = "dense"

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__(encoder, config)
        if isinstance(encoder, AttentionEncoder):
            return
        for name in ("readout", "layers", "stride", "logit_scale", "area_threshold"):
            if getattr(config, name):
                raise OptionError(f"{name} is for CLIP; leave it out with {encoder.name!r}")
        if config.refine == "pamr":
            raise OptionError(f"refine 'pamr' is for CLIP; use 'guided' with {encoder.name!r}")

    def see(self, rgb: NDArray[np.uint8], scale: float) -> Seen:
        """Encode a picture whose short side is scaled to ``scale`` times the usual."""
        config, size = self.config, self.encoder.size
        if isinstance(self.encoder, AttentionEncoder):
            from lexiseg.stages.attention import readout
            from lexiseg.stages.clip_windows import encode_windows

            return encode_windows(
                self.encoder, rgb, self._look(self.encoder, scale),
                readout(config.readout or "naclip"),
            )  # fmt: skip
        from lexiseg.stages.encoder_windows import encode_image

        return encode_image(
            self.encoder,
            rgb,
            short_side=self._short_side(scale),
            window=config.window or size.window,
            overlap=config.overlap,
            flip=config.flip,
        )

    def prepare(self, image: Source | View, *, max_pixels: int | None = None) -> View:
        """Read and encode a picture; see `DenseSegmenter.prepare`.

        ResCLIP's readout depends on the words: the picture is only read, and encoded when asked.
        """
        if self.config.readout != "resclip" or isinstance(image, View):
            return super().prepare(image, max_pixels=max_pixels)
        return self.only_read(image, max_pixels=max_pixels)

    def with_words(self, view: View, vectors: WordVectors) -> View:
        """Return the view as these words see it."""
        if self.config.readout != "resclip" or not isinstance(self.encoder, AttentionEncoder):
            return view
        from lexiseg.stages.clip_windows import encode_windows
        from lexiseg.stages.resclip import RCS_BLOCKS, Feedback, resclip

        encoder, config = self.encoder, self.config
        # The published code counts what is unsure as its first word, the background.
        first = vectors.background if vectors.background is not None else 0
        order = (vectors.class_ids != first).int().argsort(stable=True)
        feedback = Feedback(
            vectors.vectors[order], config.logit_scale or encoder.scale, config.first_threshold,
            config.rcs, config.sfr,
        )  # fmt: skip

        def see(pixels: Tensor) -> Tensor:
            how = self._look(encoder, 1.0)
            block = encoder.trunk(pixels, positions=how.positions, attention=RCS_BLOCKS)
            planes = pixels.permute(0, 3, 1, 2).float()
            return block.finish(resclip(block, planes, feedback, encoder.size.multiple))

        features = tuple(
            encode_windows(encoder, view.picture.rgb, self._look(encoder, scale), see=see)
            for scale in sorted(config.scales, reverse=True)
        )
        return replace(view, features=features)

    def _short_side(self, scale: float) -> int:
        return max(32, round((self.config.short_side or self.encoder.size.short_side) * scale))

    def _look(self, encoder: AttentionEncoder, scale: float) -> WindowSettings:
        from lexiseg.stages.clip_windows import WindowSettings

        config = self.config
        window = config.window or encoder.size.window
        return WindowSettings(
            self._short_side(scale), window, config.stride or max(1, window // 2),
            config.positions, config.ragged, config.flip, config.layers,
        )  # fmt: skip


def load(
    config: Config,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Segmenter:
    """Load the encoder that the Config names, and return the segmenter."""
    from lexiseg.models import load_encoder

    encoder = load_encoder(config.encoder, device=device, dtype=dtype, pull=pull, offline=offline)
    return Segmenter(encoder, config)
