"""Settings of the dense method, and the presets that hold the papers' settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lexiseg.errors import OptionError, UnknownName
from lexiseg.methods.dense.papers import PAPERS
from lexiseg.prompts import DEFAULT_BACKGROUND, TEMPLATES

__all__ = ["PRESETS", "Config"]

_CHOICES = (
    ("way to refine", "refine", ("guided", "none", "pamr")),
    ("readout", "readout", ("clearclip", "maskclip", "naclip", "resclip", "sclip", "vanilla")),
    ("way to resize positions", "positions", ("scale", "size")),
    ("way with ragged windows", "ragged", ("stretch", "pad")),
)


@dataclass(frozen=True)
class Config:
    """Settings of the method; every default lives here.

    encoder: a checkpoint that is an encoder.
    short_side: pixels that the picture's short side is scaled to; None: as the encoder wants.
    window, overlap: larger pictures are looked at through windows of so many pixels a side, of
        which neighbours share at least this part; None: as the encoder wants.
    scales: the picture is looked at at these multiples of ``short_side``; scores are averaged on
        the finest grid.
    flip: also look at the mirrored picture. Words with a side in them ("left eye") suffer.
    templates: "plain", "photo", CLIP's "imagenet-7" and "imagenet-80", or sentences of one's own
        with {} for the word.
    background: words that take what nobody asked for (``seg(..., background=...)`` replaces them).
    threshold: pixels whose word scores less, in [0, 1], get no word.
    word_thresholds: the same for single words.
    refine: "guided" lets boundaries follow the picture, "none" enlarges bilinearly, "pamr" (for
        CLIP) lets logits flow between pixels of like colour.
    refine_radius, refine_epsilon: of the guided filter: cells, and variance of colours.
    pamr_steps: how often logits flow.
    paint_unknown: let words that the encoder does not know compete too. Otherwise they get no
        pixel, save in a closed vocabulary, where the user rules out everything else.
    min_share: instances smaller than this part of the picture are left out (not of the label map).
    readout: of CLIP's last attention: "vanilla", "maskclip", "sclip", "clearclip", "naclip",
        "resclip"; None: "naclip". This and what follows is for CLIP alone.
    rcs, sfr: of ResCLIP: how much the middle blocks' attention, and a first answer to the words,
        count in the last attention: (temperature, part) each.
    first_threshold: of ResCLIP: pixels of the first answer below it count as background.
    layers: read these layers of CLIP, counted from 1, and average them, as in (6, 12, 18, 24) of
        ViT-L/14; (): the last one.
    stride: pixels from window to window; None: half a window.
    positions: how CLIP's position embeddings are resized: by "scale", as the papers do, or to
        "size", as transformers does.
    ragged: where a window is not whole cells: "stretch" leaves the rest out, "pad" fills it up.
    logit_scale: what cosines are multiplied with before the softmax; None: what CLIP learnt.
    area_threshold: words that win at most this part of what is not background lose it.
    """

    encoder: str = "tiny"
    short_side: int | None = None
    window: int | None = None
    overlap: float = 0.25
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    templates: str | tuple[str, ...] = "plain"
    background: tuple[str, ...] = DEFAULT_BACKGROUND
    threshold: float = 0.0
    word_thresholds: Mapping[str, float] = field(default_factory=dict)
    refine: str = "guided"
    refine_radius: int = 1
    refine_epsilon: float = 1e-3
    pamr_steps: int = 10
    paint_unknown: bool = False
    min_share: float = 0.0004
    readout: str | None = None
    layers: tuple[int, ...] = ()
    stride: int | None = None
    positions: str = "scale"
    ragged: str = "stretch"
    logit_scale: float | None = None
    area_threshold: float = 0.0
    rcs: tuple[float, float] = (2.0, 0.4)
    sfr: tuple[float, float] = (1.8, 0.7)
    first_threshold: float = 0.11

    def __post_init__(self) -> None:
        for name in ("short_side", "window"):
            value = getattr(self, name)
            if value is not None and not 32 <= value <= 8192:
                raise OptionError(f"{name} is {value}; give 32 to 8192 pixels, or None")
        if not 0 <= self.overlap <= 0.9:
            raise OptionError(f"overlap is {self.overlap}; give a part from 0 to 0.9")
        if not self.scales or not all(0.1 <= s <= 8 for s in self.scales):
            raise OptionError(f"scales are {self.scales}; give numbers from 0.1 to 8")
        for word, value in {"threshold": self.threshold, **self.word_thresholds}.items():
            if not 0 <= value <= 1:
                raise OptionError(f"the threshold of {word!r} is {value}; give 0 to 1")
        for pair in ("rcs", "sfr"):
            temperature, part = getattr(self, pair)
            if temperature <= 0 or not 0 <= part <= 1:
                raise OptionError(
                    f"{pair} is {(temperature, part)}; give a temperature above 0, and a part from "
                    "0 to 1"
                )
        for what, field_name, choices in _CHOICES:
            value = getattr(self, field_name)
            if value not in choices and not (value is None and field_name == "readout"):
                raise UnknownName.among(what, str(value), choices)
        if any(layer < 1 for layer in self.layers) or len(set(self.layers)) != len(self.layers):
            raise OptionError(f"layers are {self.layers}; count from 1, and name each once")
        if self.stride is not None and not 1 <= self.stride <= 8192:
            raise OptionError(f"stride is {self.stride}; give 1 to 8192 pixels, or None")
        if self.pamr_steps < 1 or not 0 <= self.area_threshold < 1:
            raise OptionError(
                f"pamr_steps {self.pamr_steps}, area_threshold {self.area_threshold}; give at "
                "least 1 step, and a part from 0 to below 1"
            )
        if self.logit_scale is not None and self.logit_scale <= 0:
            raise OptionError(f"logit_scale is {self.logit_scale}; give a number above 0, or None")
        if not 1 <= self.refine_radius <= 64:
            raise OptionError(f"refine_radius is {self.refine_radius}; give 1 to 64 cells")
        if not 1e-6 <= self.refine_epsilon <= 1e3:  # less than the rounding of float32 counts for
            raise OptionError(f"refine_epsilon is {self.refine_epsilon}; give 1e-6 to 1000")
        if not 0 <= self.min_share < 1:
            raise OptionError(f"min_share is {self.min_share}; give a part from 0 to below 1")
        if not self.sentences:
            raise OptionError('there are no templates; give some, or "plain"')
        for template in self.sentences:
            if "{}" not in template or set("{}") & set(template.replace("{}", "")):
                raise OptionError(
                    f"the template is {template!r}; write {{}} for the word, and no other braces"
                )

    @property
    def sentences(self) -> tuple[str, ...]:
        """The templates as sentences."""
        if not isinstance(self.templates, str):
            return tuple(self.templates)
        if "{}" in self.templates:
            return (self.templates,)
        if self.templates not in TEMPLATES:
            raise UnknownName.among("set of templates", self.templates, TEMPLATES)
        return TEMPLATES[self.templates]


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"short_side": 224},
    "balanced": {},
    "quality": {"scales": (0.75, 1.0, 1.5)},
    **PAPERS,
}
