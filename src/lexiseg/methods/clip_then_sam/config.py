"""Settings of clip-then-sam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lexiseg.errors import OptionError, UnknownName
from lexiseg.prompts import DEFAULT_BACKGROUND

__all__ = ["PRESETS", "Config"]


@dataclass(frozen=True)
class Config:
    """Settings of the method; every default lives here.

    mapper: the method that makes the map of words, such as "dense".
    encoder: the checkpoint that it looks through.
    mapper_fields: further fields of its Config.
    masker: a checkpoint that is a mask model, its folder or its file.
    compile: the mask model goes through torch.compile: minutes at first, for many pictures.
    background: words that take what nobody asked for (``seg(..., background=...)`` replaces them).
    threshold: pixels and instances whose word scores less, in [0, 1], get no word.
    word_thresholds: the same for single words.
    region_threshold: regions are made of pixels whose word scores at least this, in [0, 1].
    min_region_size: smaller regions, in pixels of the picture, get no point.
    points_per_region: how many points a region gets at most; further ones want room.
    points_per_side: besides, regions are asked wherever a grid of so many points a side meets them.
    negative_points: how many points of other words' regions each prompt is told to leave out.
    point: "pole", the middle of the largest circle in the region, or "peak", its best-scoring
        inner pixel.
    iou_threshold: masks with at least this IoU are one; the better one stays.
    nested: whether instances may lie in one another: not the best candidate of each point alone
        stays, but every one that the mask model itself rates well and of which its word holds half,
        whole, whatever the label map says. For finding things, not for counting them.
    min_quality: masks that the mask model itself rates lower, in [0, 1], are left out.
    min_agreement: masks that agree less with the map, in [0, 1], are left out.
    coverage: where masks cover at least this part of a region, they speak against its word in
        what they left over of it.
    pooling: the part of the evidence, in [0, 1], that pixels share with the masks they lie in.
    trust: how much a mask speaks for its word against the map: nats at quality 0.5, more at higher.
    refine_radius, refine_epsilon: of the guided filter along which the outlines of the label map
        follow the picture, in cells of the mask model, and a variance of colours in [0, 1] squared.
    min_share: instances smaller than this part of the picture are left out (not of the label map).
    """

    mapper: str = "dense"
    encoder: str = "tiny"
    mapper_fields: Mapping[str, int | float | bool | str] = field(default_factory=dict)
    masker: str = "tiny"
    compile: bool = False
    background: tuple[str, ...] = DEFAULT_BACKGROUND
    threshold: float = 0.0
    word_thresholds: Mapping[str, float] = field(default_factory=dict)
    region_threshold: float = 0.3
    min_region_size: int = 100
    points_per_region: int = 3
    points_per_side: int = 0
    negative_points: int = 0
    point: str = "pole"
    iou_threshold: float = 0.8
    nested: bool = False
    min_quality: float = 0.0
    min_agreement: float = 0.7
    coverage: float = 0.5
    pooling: float = 0.3
    trust: float = 2.0
    refine_radius: int = 3
    refine_epsilon: float = 1e-4
    min_share: float = 0.0

    def __post_init__(self) -> None:
        if self.point not in ("peak", "pole"):
            raise UnknownName.among("way to choose points", self.point, ("peak", "pole"))
        parts = (
            "threshold", "region_threshold", "iou_threshold", "min_quality", "min_agreement",
            "coverage", "pooling", "min_share",
        )  # fmt: skip
        for name in parts:
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}; give 0 to 1")
        for word, value in self.word_thresholds.items():
            if not 0 <= value <= 1:
                raise OptionError(f"the threshold of {word!r} is {value}; give 0 to 1")
        if self.iou_threshold == 0:
            raise OptionError("iou_threshold is 0, and every mask would be every other; give more")
        if self.trust < 0:
            raise OptionError(f"trust is {self.trust}; give 0 or more")
        if not 0 <= self.refine_radius <= 64:
            raise OptionError(f"refine_radius is {self.refine_radius}; give 0 to 64 cells")
        if self.refine_epsilon <= 0:
            raise OptionError(f"refine_epsilon is {self.refine_epsilon}; give more than 0")
        if self.min_region_size < 1:
            raise OptionError(f"min_region_size is {self.min_region_size}; give at least 1 pixel")
        if not 1 <= self.points_per_region <= 64:
            raise OptionError(f"points_per_region is {self.points_per_region}; give 1 to 64")
        if not 0 <= self.points_per_side <= 256:
            raise OptionError(f"points_per_side is {self.points_per_side}; give 0 to 256")
        if not 0 <= self.negative_points <= 16:
            raise OptionError(f"negative_points is {self.negative_points}; give 0 to 16")


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"min_region_size": 200, "points_per_region": 1},
    "balanced": {},
    "quality": {"region_threshold": 0.5, "points_per_region": 5},
    "everything": {"points_per_side": 24, "nested": True},
}
