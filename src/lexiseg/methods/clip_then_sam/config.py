"""Settings of clip-then-sam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lexiseg.methods._config import (
    GuidedFilterConfig,
    MaskerConfig,
    VocabularyConfig,
    check_choice,
    check_range,
)

__all__ = ["PRESETS", "Config"]


@dataclass(frozen=True)
class Config(MaskerConfig, GuidedFilterConfig, VocabularyConfig):
    """mapper: the method that makes the map of words, such as "dense".
    encoder: the checkpoint that it encodes images with; None: the mapper's own default.
    mapper_fields: further fields of the mapper's Config.
    region_threshold: regions are made of pixels whose word scores at least this, in [0, 1].
    min_region_area: smaller regions, in pixels of the image, get no prompt.
    points_per_region: how many points a region gets at most; further ones want room.
    points_per_side: besides, regions are prompted wherever a grid of so many points a side meets
        them.
    negative_points: how many points of other words' regions each prompt is told to leave out.
    point: "pole", the middle of the largest circle in the region, or "peak", its best-scoring
        inner pixel.
    nested: whether instances may lie in one another: not the best candidate of each point alone
        stays, but every one that the mask model itself rates well and of which its word holds half,
        whole, whatever the label map says. For finding things, not for counting them.
    min_quality: masks that the mask model itself rates lower, in [0, 1], are left out.
    min_agreement: masks that agree less with the map, in [0, 1], are left out.
    coverage: where masks cover at least this part of a region, they speak against its word in
        what they left over of it.
    pooling: the part of the evidence, in [0, 1], that places share with the masks they lie in.
    trust: how much a mask speaks for its word against the map: nats at quality 0.5, more at higher.
    """

    mapper: str = "dense"
    encoder: str | None = None
    mapper_fields: Mapping[str, int | float | bool | str] = field(default_factory=dict)
    min_share: float = 0.0
    region_threshold: float = 0.3
    min_region_area: int = 100
    points_per_region: int = 3
    points_per_side: int = 0
    negative_points: int = 0
    point: str = "pole"
    nested: bool = False
    min_quality: float = 0.0
    min_agreement: float = 0.7
    coverage: float = 0.5
    pooling: float = 0.3
    trust: float = 2.0

    def check(self) -> None:
        """Raise OptionError for a value out of its range, UnknownName for no choice."""
        check_choice(self, "point", ("peak", "pole"))
        check_range(
            self, 0, 1, "region_threshold", "min_quality", "min_agreement", "coverage", "pooling"
        )
        check_range(self, 0, 1e6, "trust")
        check_range(self, 1, 10**9, "min_region_area")
        check_range(self, 1, 64, "points_per_region")
        check_range(self, 0, 256, "points_per_side")
        check_range(self, 0, 16, "negative_points")


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"min_region_area": 200, "points_per_region": 1},
    "balanced": {},
    "quality": {"region_threshold": 0.5, "points_per_region": 5},
    "everything": {"points_per_side": 24, "nested": True},
}
