"""Settings of CLIPSeg, and its presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lexiseg.errors import UnknownName
from lexiseg.methods._config import (
    GuidedFilterConfig,
    VocabularyConfig,
    check_choice,
    check_range,
)
from lexiseg.prompts import template_sentences

__all__ = ["PRESETS", "Config"]

_PREPARATIONS = ("crop", "blur", "darken")


@dataclass(frozen=True)
class Config(GuidedFilterConfig, VocabularyConfig):
    """encoder: a checkpoint with a decoder for prompts: "tiny", "clipseg-rd64-refined", a folder.
    short_side: pixels that the image is scaled to; None: as the model was trained (352).
    stretch: to a square, as published; otherwise by the short side, with its proportions. The
        bundled model never stretches.
    templates: "plain", "photo", CLIP's "imagenet-7" and "imagenet-80", or sentences of one's own
        with {} for the word; None: as the model was trained.
    background: words whose maps take what nobody asked for. The word "background" itself has no
        map: ``cutoff`` stands for it.
    cutoff: what a word's own map must pass, in (0, 1), to win over the background.
    background_factor: where the word "background" is asked, it gets a map of its own, times this,
        and the largest map wins, as in the paper's zero-shot code (3); None: ``cutoff`` decides.
    fusion: how maps of synonyms become one: "max", "mean", or "attention".
    mix: the weight of the words where a prompt has words and examples.
    prepare: what is done to example images with a mask or a box, of "crop", "blur", "darken";
        None: as the model was trained.
    refine: "guided" lets boundaries follow the image, "pamr" lets maps flow between pixels of
        like colour, "sam" prompts a mask model with each region's box and peak, "none" does
        nothing.
    pamr_steps: how often maps flow.
    refine_masker: the mask model of "sam".
    min_agreement: of a mask and the region that it answers, in [0, 1], or the region stays.
    paint_unknown: let words that the model does not know compete too.
    """

    encoder: str = "tiny"
    short_side: int | None = None
    stretch: bool = True
    templates: str | tuple[str, ...] | None = None
    background: tuple[str, ...] = ("background",)
    cutoff: float = 0.5
    background_factor: float | None = None
    fusion: str = "max"
    mix: float = 0.5
    prepare: tuple[str, ...] | None = None
    refine: str = "guided"
    refine_radius: int | None = 1
    refine_epsilon: float = 1e-3
    pamr_steps: int = 10
    refine_masker: str = "tiny"
    min_agreement: float = 0.5
    paint_unknown: bool = False

    def check(self) -> None:
        """Raise OptionError for a value out of its range, UnknownName for no choice."""
        check_choice(self, "refine", ("guided", "none", "pamr", "sam"))
        check_choice(self, "fusion", ("max", "mean", "attention"))
        check_range(self, 32, 8192, "short_side")
        check_range(self, 1e-6, 1 - 1e-6, "cutoff")
        check_range(self, 1e-6, 1e6, "background_factor")
        check_range(self, 0, 1, "mix", "min_agreement")
        check_range(self, 1, 1000, "pamr_steps")
        for way in self.prepare or ():
            if way not in _PREPARATIONS:
                raise UnknownName.among("way to prepare an example", way, _PREPARATIONS)
        self.sentences(("{}",))

    def sentences(self, trained: tuple[str, ...]) -> tuple[str, ...]:
        """The templates as sentences; ``trained``: those that the model was trained with."""
        return trained if self.templates is None else template_sentences(self.templates)


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"refine": "none"},
    "balanced": {},
    # PhraseCut's threshold, maps as they come, squares of 352 pixels.
    "paper": {"refine": "none", "cutoff": 0.3},
    # All classes' maps at once, of bare names, and three times that of the background.
    "zero-shot": {"refine": "none", "templates": "plain", "background_factor": 3.0},
}
