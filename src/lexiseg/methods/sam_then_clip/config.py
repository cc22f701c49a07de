"""Settings of sam-then-clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lexiseg.errors import OptionError
from lexiseg.methods._config import (
    MaskerConfig,
    TemplatesConfig,
    VocabularyConfig,
    check_choice,
    check_range,
)
from lexiseg.protocols import Masker

__all__ = ["PRESETS", "Config", "check_masker"]


@dataclass(frozen=True)
class Config(MaskerConfig, TemplatesConfig, VocabularyConfig):
    """encoder: a checkpoint that is an encoder of words and images.
    scoring: "crops" encodes each mask's own crop, "features" pools dense features in the mask.
    points_per_side: the mask model is prompted with a grid of so many points a side.
    min_quality, min_stability: what masks must reach, in [0, 1], by the mask model's own opinion,
        and by how little they grow or shrink with its threshold; None: what it wants itself.
    stability_offset: how far that threshold is moved, in logits.
    box_nms_threshold: IoU of boxes above which the better rated mask alone stays.
    crop_n_layers: how often crops are prompted too: 2, 4, 8 ... a side.
    crop_nms_threshold: the same as box_nms_threshold between crops, where smaller crops win.
    crop_overlap_ratio: what crops have in common, as a part of the image's short side.
    crop_points_downscale: each layer of crops has so many times fewer points a side.
    min_mask_region_area: holes and islands of fewer pixels are filled or removed; 0: none.
    use_m2m: every mask is refined by prompting again with its point and itself; takes longer.
    relative_threshold: masks whose share of their word, by a softmax over masks, is less than this
        part of the best mask's are left out.
    top_k: the best masks of each word that stay; None: all.
    nested_threshold: a mask of which at least this part lies in a larger one of the same word is no
        instance of its own, or the larger one is none, where it is several; None: both stay.
    crop_side: pixels of a crop's side; None: the encoder's window, 224 at most.
    batch: crops that are encoded together; None: as many as suit the processor.
    short_side: for features: pixels that the image's short side is scaled to; None: as the
        encoder wants.
    layer_depths: for features of CLIP: how deep the layers lie whose features are averaged, in
        (0, 1], 1 the last.
    alpha: for features: the part of the mean cosine around a mask that is taken off; None: 0.3, as
        published, for CLIP, 0 for other encoders.
    border: for features: cells from a mask's border inwards that count less; 0: none.
    """

    encoder: str = "tiny"
    min_share: float = 0.0
    scoring: str = "features"
    points_per_side: int = 32
    min_quality: float | None = None
    min_stability: float | None = None
    stability_offset: float = 1.0
    box_nms_threshold: float = 0.7
    crop_n_layers: int = 0
    crop_nms_threshold: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_points_downscale: int = 1
    min_mask_region_area: int = 0
    use_m2m: bool = False
    relative_threshold: float = 0.1
    top_k: int | None = None
    nested_threshold: float | None = 0.7
    crop_side: int | None = None
    batch: int | None = None
    short_side: int | None = None
    layer_depths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    alpha: float | None = None
    border: float = 2.0

    def check(self) -> None:
        """Raise OptionError for a value out of its range, UnknownName for no choice."""
        check_choice(self, "scoring", ("crops", "features"))
        check_range(
            self, 0, 1, "min_quality", "min_stability", "relative_threshold", "alpha",
            "box_nms_threshold", "crop_nms_threshold", "crop_overlap_ratio", "nested_threshold",
        )  # fmt: skip
        for name, low, high in (
            ("points_per_side", 1, 256), ("top_k", 1, 10**6), ("crop_side", 16, 2048),
            ("batch", 1, 4096), ("short_side", 32, 8192), ("border", 0, 64),
            ("stability_offset", 0, 100), ("crop_n_layers", 0, 4), ("crop_points_downscale", 1, 16),
            ("min_mask_region_area", 0, 10**9),
        ):  # fmt: skip
            check_range(self, low, high, name)
        if not self.layer_depths or not all(0 < depth <= 1 for depth in self.layer_depths):
            raise OptionError(
                f"layer_depths are {self.layer_depths}; give depths above 0, 1 for the last"
            )


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"points_per_side": 16, "layer_depths": (0.5, 1.0)},
    "balanced": {},
    "quality": {"points_per_side": 48},
    # How the official generators of SAM 1 and of SAM 2 ask for everything: see `check_masker`.
    "sam1": {"min_quality": 0.88, "min_stability": 0.95},
    "sam2": {"min_quality": 0.8, "min_stability": 0.95},
    # The two published ways as published: masked crops, and pooled features.
    "crops": {"scoring": "crops"},
    "features": {"scoring": "features"},
}


def check_masker(config: Config, masker: Masker) -> None:
    """Raise OptionError for a preset of SAM's with a mask model that rates its masks otherwise.

    Such a model, as the bundled one, reaches those thresholds nowhere: nothing would be found.
    """
    sams = {name: PRESETS[name] for name in ("sam1", "sam2")}
    if masker.min_quality >= min(preset["min_quality"] for preset in sams.values()):
        return
    for name, preset in sams.items():
        if all(getattr(config, field) == value for field, value in preset.items()):
            raise OptionError(
                f"the preset {name!r} is for SAM's weights: {masker.name!r} rates its masks lower, "
                f"and wants min_quality={masker.min_quality:g}; leave the preset out, or take "
                "another mask model, such as the masker sam-vit-b"
            )
