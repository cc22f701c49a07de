"""Settings of CLIPSeg, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lexiseg.errors import OptionError, UnknownName
from lexiseg.prompts import TEMPLATES

__all__ = ["PRESETS", "Config"]

_CHOICES = (
    ("way to refine", "refine", ("guided", "none", "pamr", "sam")),
    ("way to fuse prompts", "fusion", ("max", "mean", "attention")),
)


@dataclass(frozen=True)
class Config:
    """Settings of the method; every default lives here.

    encoder: a checkpoint with a decoder for prompts: "tiny", "clipseg-rd64-refined", a folder.
    short_side: pixels that the picture is scaled to; None: as the model was trained (352).
    stretch: to a square, as published; otherwise by the short side, with its proportions. The
        bundled model never stretches.
    templates: "plain", "photo", CLIP's "imagenet-7" and "imagenet-80", or sentences of one's own
        with {} for the word; None: as the model was trained.
    background: words whose maps take what nobody asked for. The word "background" itself has no
        map: ``cutoff`` stands for it.
    cutoff: what a word's own map must pass, in (0, 1), to win over nothing.
    threshold: pixels whose word has a smaller probability among all, in [0, 1], get no word.
    word_thresholds: the same for single words.
    fusion: how maps of synonyms become one: "max", "mean", or "attention".
    mix: the weight of the words where a prompt has words and examples.
    prepare: what is done to example pictures with a mask or a box, of "crop", "blur", "darken";
        None: as the model was trained.
    refine: "guided" lets boundaries follow the picture, "pamr" lets maps flow between pixels of
        like colour, "sam" asks a mask model at each region's box and peak, "none" does nothing.
    refine_radius, refine_epsilon: of the guided filter: cells of 4 pixels, variance of colours.
    pamr_steps: how often maps flow.
    refine_masker: the mask model of "sam".
    min_agreement: of a mask and the region that it answers, in [0, 1], or the region stays.
    paint_unknown: let words that the model does not know compete too.
    min_share: instances smaller than this part of the picture are left out (not of the label map).
    """

    encoder: str = "tiny"
    short_side: int | None = None
    stretch: bool = True
    templates: str | tuple[str, ...] | None = None
    background: tuple[str, ...] = ("background",)
    cutoff: float = 0.5
    threshold: float = 0.0
    word_thresholds: Mapping[str, float] = field(default_factory=dict)
    fusion: str = "max"
    mix: float = 0.5
    prepare: tuple[str, ...] | None = None
    refine: str = "guided"
    refine_radius: int = 1
    refine_epsilon: float = 1e-3
    pamr_steps: int = 10
    refine_masker: str = "tiny"
    min_agreement: float = 0.5
    paint_unknown: bool = False
    min_share: float = 0.0004

    def __post_init__(self) -> None:
        if self.short_side is not None and not 32 <= self.short_side <= 8192:
            raise OptionError(f"short_side is {self.short_side}; give 32 to 8192 pixels, or None")
        if not 0 < self.cutoff < 1:
            raise OptionError(f"cutoff is {self.cutoff}; give a number between 0 and 1")
        for word, value in {
            "threshold": self.threshold, "mix": self.mix, "min_agreement": self.min_agreement,
            **self.word_thresholds,
        }.items():  # fmt: skip
            if not 0 <= value <= 1:
                raise OptionError(f"the value of {word!r} is {value}; give 0 to 1")
        for what, name, choices in _CHOICES:
            if getattr(self, name) not in choices:
                raise UnknownName.among(what, str(getattr(self, name)), choices)
        for way in self.prepare or ():
            if way not in ("crop", "blur", "darken"):
                raise UnknownName.among(
                    "way to prepare an example", way, ("crop", "blur", "darken")
                )
        if not 1 <= self.refine_radius <= 64 or not 1e-6 <= self.refine_epsilon <= 1e3:
            raise OptionError(
                f"refine_radius {self.refine_radius}, refine_epsilon {self.refine_epsilon}; give "
                "1 to 64 cells, and 1e-6 to 1000"
            )
        if self.pamr_steps < 1 or not 0 <= self.min_share < 1:
            raise OptionError(
                f"pamr_steps {self.pamr_steps}, min_share {self.min_share}; give at least 1 step, "
                "and a part from 0 to below 1"
            )
        for template in self.sentences(("{}",)):
            if "{}" not in template or set("{}") & set(template.replace("{}", "")):
                raise OptionError(
                    f"the template is {template!r}; write {{}} for the word, and no other braces"
                )

    def sentences(self, trained: tuple[str, ...]) -> tuple[str, ...]:
        """The templates as sentences; ``trained``: those that the model was trained with."""
        if self.templates is None:
            return trained
        if not isinstance(self.templates, str):
            if not self.templates:
                raise OptionError('there are no templates; give some, or "plain"')
            return tuple(self.templates)
        if "{}" in self.templates:
            return (self.templates,)
        if self.templates not in TEMPLATES:
            raise UnknownName.among("set of templates", self.templates, TEMPLATES)
        return TEMPLATES[self.templates]


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"refine": "none"},
    "balanced": {},
    # PhraseCut's threshold, maps as they come, squares of 352 pixels.
    "paper": {"refine": "none", "cutoff": 0.3},
}
