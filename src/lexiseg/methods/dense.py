"""Dense open-vocabulary segmentation: every place of an image is compared with every word.

The image becomes a grid of features, words become vectors in the same space, and the softmax of
their cosines, at the encoder's own scale, says which word each place shows. Works with any encoder
whose features are dense, such as the bundled one. CLIP's last attention is read out as MaskCLIP
(Zhou et al. 2022) and its successors do, and its windows are joined as they join them; the presets
with their names hold their settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lexiseg.errors import OptionError
from lexiseg.methods._config import DenseConfig, check_choice, check_range
from lexiseg.methods._dense_segmenter import DenseSegmenter
from lexiseg.prompts.lexicon import is_uncountable
from lexiseg.protocols import AttentionEncoder, DenseScores, Encoder, LoadOptions, Masker, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lexiseg.methods._dense_segmenter import FindInstances
    from lexiseg.prompts import Vocabulary
    from lexiseg.stages.clip_windows import Windows
    from lexiseg.stages.dense_features import Features
    from lexiseg.stages.instances import Instances
    from lexiseg.stages.label_map import Labels

__all__ = ["DATA_SETS", "PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "compare every place of the image with every word"

_READOUTS = ("clearclip", "maskclip", "naclip", "sclip", "vanilla")


@dataclass(frozen=True)
class Config(DenseConfig):
    """encoder: a checkpoint that is an encoder.
    overlap: of windows, the part that neighbours share at least, where no ``stride`` is given and
        the encoder is no CLIP.
    readout: of CLIP's last attention: "vanilla", "maskclip", "sclip", "clearclip", "naclip"; None:
        "naclip".
    layers: read these layers of CLIP, counted from 1, and average them, as in (6, 12, 18, 24) of
        ViT-L/14; (): the last one.
    ragged: where a window of CLIP is not whole cells: "stretch" leaves the remainder out, "pad"
        fills it.
    instances: "masks" tells touching things of a word apart, where the encoder's checkpoint holds a
        mask model too; "parts" are the connected parts of the label map, and so are "masks" where
        there is no mask model; "off" finds none, and is fastest.
    max_prompts: for masks: places asked in an image at most.
    """

    encoder: str = "tiny"
    overlap: float = 0.25
    readout: str | None = None
    layers: tuple[int, ...] = ()
    ragged: str = "stretch"
    instances: str = "masks"
    max_prompts: int = 12

    def check(self) -> None:
        """Raise OptionError for a value out of its range, UnknownName for no choice."""
        if self.readout is not None:
            check_choice(self, "readout", _READOUTS)
        check_choice(self, "ragged", ("stretch", "pad"))
        check_choice(self, "instances", ("masks", "parts", "off"))
        check_range(self, 1, 4096, "max_prompts")
        check_range(self, 0, 0.9, "overlap")
        if any(layer < 1 for layer in self.layers) or len(set(self.layers)) != len(self.layers):
            raise OptionError(f"layers are {self.layers}; count from 1, and name each once")


# The papers' settings, from the configurations of the official code for ViT-B/16: SCLIP
# (github.com/wangf3014/SCLIP), NACLIP (github.com/sinahmr/NACLIP), ClearCLIP
# (github.com/mc-lan/ClearCLIP). Their class names are the vocabularies "@voc21",
# "@voc21.clearclip" (``lexiseg.prompts``).
_SHARED: dict[str, Any] = {
    "short_side": 336, "window": 224, "stride": 112, "logit_scale": 40.0,
    "templates": "imagenet-80", "refine": "none",
}  # fmt: skip

_PAPERS: dict[str, dict[str, Any]] = {
    "maskclip": {**_SHARED, "readout": "maskclip"},
    "sclip": {**_SHARED, "readout": "sclip"},
    "naclip": {**_SHARED, "readout": "naclip", "refine": "pamr"},
    "clearclip": {
        **_SHARED, "readout": "clearclip", "short_side": 448, "window": 448, "stride": 224,
        "logit_scale": 50.0, "ragged": "pad",
    },
}  # fmt: skip

# NACLIP looks at VOC's pictures without windows.
_WHOLE = {"window": 8192, "stride": 8192}


# Preset -> data set -> what differs from the preset: `preset="sclip@voc21"`.
DATA_SETS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "sclip": {
        "voc21": {"logit_scale": 65.0, "threshold": 0.1, "area_threshold": 0.1},
        "voc20": {},
        "context60": {"logit_scale": 50.0, "threshold": 0.1},
        "context59": {},
        "coco-object": {"logit_scale": 50.0, "threshold": 0.1},
        "coco-stuff164k": {"short_side": 448},
        "cityscapes": {"short_side": 560},
        "ade20k": {},
    },
    "naclip": {
        "voc21": {**_WHOLE, "threshold": 0.1},
        "voc20": {**_WHOLE},
        "context60": {"threshold": 0.1},
        "context59": {},
        "coco-object": {"threshold": 0.1},
        "coco-stuff164k": {},
        "cityscapes": {"short_side": 560},
        "ade20k": {},
    },
    "clearclip": {
        "voc21": {"threshold": 0.5},
        "voc20": {},
        "context60": {"threshold": 0.15},
        "context59": {},
        "coco-object": {"threshold": 0.4},
        "coco-stuff164k": {},
        "cityscapes": {"window": 224},
        "ade20k": {},
    },
}

PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"short_side": 224, "instances": "parts"},
    "balanced": {},
    "quality": {
        "scales": (1.33,)
    },  # by the row settings: more than three scales give, in less time
    **_PAPERS,
}


_OF_CLIP = ("readout", "layers", "area_threshold")


class Segmenter(DenseSegmenter):
    """Call it with an image and words; see ``BaseSegmenter.__call__``."""

    name = "dense"

    def __init__(self, encoder: Encoder, config: Config, masker: Masker | None = None) -> None:
        super().__init__(encoder, config, masker=masker)
        self.masker = masker
        if isinstance(encoder, AttentionEncoder):
            return
        for name in _OF_CLIP:
            if getattr(config, name):
                raise OptionError(_only_for_clip(name, config, encoder.name))

    def find_instances(self, view: View[Any], vocabulary: Vocabulary) -> FindInstances | None:
        """Return how instances are found in a label map; None: they are its connected parts."""
        config, masker = self.config, self.masker
        if config.instances == "parts" or (config.instances == "masks" and masker is None):
            return None
        from lexiseg.stages.instances import no_instances, separate_things

        state = None
        if masker is not None and config.instances == "masks":
            state = masker.encode(view.picture.rgb, self.backbone_maps(view))
        uncountable = np.array([is_uncountable(word) for word in vocabulary.names])

        def find(
            labels: Labels,
            label_scores: NDArray[np.float16],
            scores: DenseScores,
            wanted: NDArray[np.bool_],
            share: float,
        ) -> Instances:
            if masker is None or state is None:
                return no_instances((labels.shape[0], labels.shape[1]))
            return separate_things(
                masker, state, labels, label_scores, scores, len(uncountable),
                wanted=wanted, uncountable=uncountable,
                max_prompts=max(1, round(share * config.max_prompts)),
                min_area=max(1, round(config.min_share * labels.size)),
            )  # fmt: skip

        return find

    def encode_scale(self, rgb: NDArray[np.uint8], scale: float) -> Features | Windows:
        """Encode an image (H, W, 3) whose short side is scaled to ``scale`` times the usual."""
        config, encoder = self.config, self.encoder
        if isinstance(encoder, AttentionEncoder):
            from lexiseg.stages.attention import readout
            from lexiseg.stages.clip_windows import encode_windows

            settings = self.window_settings(scale, ragged=config.ragged, layers=config.layers)
            return encode_windows(encoder, rgb, settings, readout(config.readout or "naclip"))
        from lexiseg.stages.dense_features import encode_image

        window = config.window or encoder.size.window
        overlap = config.overlap
        if config.stride is not None:
            overlap = max(0.0, 1 - config.stride / window)
        return encode_image(
            encoder,
            rgb,
            short_side=max(32, round((config.short_side or encoder.size.short_side) * scale)),
            window=window,
            overlap=overlap,
            flip=config.flip,
        )


def _only_for_clip(field: str, config: Config, encoder: str) -> str:
    """The message for a field that another encoder has no use for, and the presets that set it."""
    value = getattr(config, field)
    presets = [name for name, settings in PRESETS.items() if settings.get(field) == value]
    by = f" (the preset {' or '.join(map(repr, presets))} sets it)" if presets else ""
    return (
        f"{field} is for CLIP, and {encoder!r} is none{by}; take a CLIP, such as the encoder "
        "clip-vit-b16.openai, or leave it out"
    )


def load(config: Config, options: LoadOptions) -> Segmenter:
    """Load the encoder that the Config names, and return the segmenter."""
    from lexiseg.models import load_encoder, load_own_masker

    encoder = load_encoder(config.encoder, options)
    segmenter = Segmenter(encoder, config)  # refuses settings that are not for the encoder
    if config.instances != "masks":
        return segmenter
    return Segmenter(encoder, config, load_own_masker(config.encoder, options))
