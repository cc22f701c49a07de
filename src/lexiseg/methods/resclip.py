"""ResCLIP (Yang et al. 2024, arXiv 2411.15851): earlier attention and a first answer feed back.

CLIP's last attention is mixed with the mean of the middle blocks' maps, and cells that a first
answer gave the same word attend to each other. So the encoding depends on the words: an image is
encoded anew for other words. Follows the code at commit 0e085f7 (github.com/yvhangyang/ResCLIP).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lexiseg.errors import OptionError
from lexiseg.methods._config import DenseConfig, check_choice, check_range
from lexiseg.methods._dense_segmenter import DenseSegmenter
from lexiseg.protocols import AttentionEncoder, Encoder, LoadOptions, View

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.imaging import Picture
    from lexiseg.stages.clip_windows import Windows
    from lexiseg.stages.resclip import Feedback
    from lexiseg.stages.word_vectors import WordVectors

__all__ = ["DATA_SETS", "PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

_READOUTS = ("clearclip", "naclip", "sclip")

SUMMARY = "CLIP with earlier attention and a first answer fed back (ResCLIP)"


@dataclass(frozen=True)
class Config(DenseConfig):
    """encoder: a CLIP.
    rcs, sfr: how much the middle blocks' attention, and the first answer to the words, count in
        the last attention: (temperature, part) each.
    readout: whose attention that is added to: "naclip", "sclip" or "clearclip".
    first_threshold: pixels whose word scores less in the first answer count as background there.
    """

    encoder: str = "clip-vit-b16.openai"
    short_side: int | None = 336
    window: int | None = 224
    stride: int | None = 112
    templates: str | tuple[str, ...] = "imagenet-80"
    logit_scale: float | None = 40.0
    rcs: tuple[float, float] = (2.0, 0.4)
    sfr: tuple[float, float] = (1.8, 0.7)
    readout: str = "naclip"
    first_threshold: float = 0.11

    def check(self) -> None:
        """Raise OptionError for a value out of its range, UnknownName for no choice."""
        check_range(self, 0, 1, "first_threshold")
        check_choice(self, "readout", _READOUTS)
        for pair in ("rcs", "sfr"):
            temperature, part = getattr(self, pair)
            if temperature <= 0 or not 0 <= part <= 1:
                raise OptionError(
                    f"{pair} is {(temperature, part)}; give a temperature above 0, and a part from "
                    "0 to 1"
                )


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"stride": 224},
    "balanced": {},
    "quality": {"scales": (1.0, 1.5)},
    "paper": {"refine": "none"},
}

_WHOLE = {"window": 8192, "stride": 8192}  # VOC's images are encoded without windows


def _weights(
    rcs: float, rcs_part: float, sfr: float, sfr_part: float, first: float
) -> dict[str, Any]:
    return {"rcs": (rcs, rcs_part), "sfr": (sfr, sfr_part), "first_threshold": first}


# The paper's settings by data set: `preset="paper@voc21"`.
DATA_SETS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "paper": {
        "voc21": {**_WHOLE, "threshold": 0.1, **_weights(2.0, 0.3, 2.2, 0.7, 0.5)},
        "voc20": {**_WHOLE, **_weights(2.0, 0.6, 2.1, 0.6, 0.1)},
        "context60": {"threshold": 0.1, **_weights(2.0, 0.3, 1.8, 0.7, 0.3)},
        "context59": _weights(2.0, 0.4, 1.8, 0.7, 0.25),
        "coco-object": {"threshold": 0.1, **_weights(2.0, 0.4, 1.8, 0.7, 0.11)},
        "coco-stuff164k": _weights(2.0, 0.4, 1.8, 0.7, 0.11),
        "cityscapes": {"short_side": 560, **_weights(2.0, 0.2, 2.1, 0.6, 0.1)},
        "ade20k": _weights(2.0, 0.3, 2.1, 0.7, 0.25),
    },
}


class Segmenter(DenseSegmenter):
    """Call it with an image and words; see ``BaseSegmenter.__call__``."""

    name = "resclip"

    def __init__(self, encoder: Encoder, config: Config) -> None:
        if not isinstance(encoder, AttentionEncoder):
            raise OptionError(f"resclip needs a CLIP, and {encoder.name!r} is none; give one")
        super().__init__(encoder, config)
        self._clip = encoder

    def encode(self, picture: Picture) -> tuple[tuple[Windows, ...], NDArray[np.int64] | None]:
        """Encode nothing yet: what the cells say depends on the words."""
        return (), None

    def encode_scale(self, rgb: NDArray[np.uint8], scale: float) -> Windows:
        """Raise OptionError: without words there is nothing to encode."""
        raise OptionError("resclip encodes an image for words; call the segmenter with some")

    def with_words(self, view: View[Any], vectors: WordVectors) -> View[Any]:
        """Return the view as it is for these words."""
        from lexiseg.stages.resclip import Feedback

        config = self.config
        # The published code counts what is unsure as its first word, the background.
        first = vectors.background if vectors.background is not None else 0
        order = (vectors.class_ids != first).int().argsort(stable=True)
        feedback = Feedback(
            vectors.vectors[order], self.logit_scale, config.first_threshold, config.rcs,
            config.sfr, readout=config.readout,
        )  # fmt: skip
        rgb = view.picture.rgb
        scales = sorted(config.scales, reverse=True)
        features = tuple(self._encode(rgb, scale, feedback) for scale in scales)
        windows_xyxy = np.concatenate([one.windows_xyxy for one in features])
        return replace(view, encoded=features, windows_xyxy=windows_xyxy)

    def _encode(self, rgb: NDArray[np.uint8], scale: float, feedback: Feedback) -> Windows:
        from lexiseg.stages.clip_windows import encode_windows
        from lexiseg.stages.resclip import RCS_BLOCKS, resclip

        config, clip = self.config, self._clip
        settings = self.window_settings(scale)

        def cells(pixels: Tensor) -> Tensor:
            block = clip.trunk(pixels, positions=config.positions, attention=RCS_BLOCKS)
            if len(block.attention) < len(RCS_BLOCKS):
                raise OptionError(
                    f"resclip mixes in the attention of the 6th to 9th block, and {clip.name!r} "
                    "has fewer blocks; give a larger CLIP"
                )
            planes = pixels.permute(0, 3, 1, 2).float().to(block.v.device)
            return block.finish(resclip(block, planes, feedback, clip.size.multiple))

        return encode_windows(clip, rgb, settings, encode=cells)


def load(config: Config, options: LoadOptions) -> Segmenter:
    """Load the CLIP that the Config names, and return the segmenter."""
    from lexiseg.models import load_encoder

    return Segmenter(load_encoder(config.encoder, options), config)
