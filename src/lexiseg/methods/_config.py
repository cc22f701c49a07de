"""Settings that several methods share, each defined, explained and checked in one place.

A method's Config inherits from the parts that it needs; a field that has another default there is
written again. Fields are listed, with what they mean, in the docstring of the part that has them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from lexiseg.errors import OptionError, UnknownName
from lexiseg.prompts import DEFAULT_BACKGROUND, template_sentences

__all__ = [
    "ConfigBase", "DenseConfig", "GuidedFilterConfig", "MaskerConfig", "ProxyConfig",
    "TemplatesConfig", "VocabularyConfig",
    "WindowsConfig", "check_choice", "check_range", "describe_fields",
]  # fmt: skip


class ConfigBase:
    """Runs ``check`` of every part that a Config is made of, when one is made."""

    def __post_init__(self) -> None:
        for part in reversed(type(self).__mro__):
            if "check" in vars(part):
                vars(part)["check"](self)


@dataclass(frozen=True)
class VocabularyConfig(ConfigBase):
    """background: words that take what nobody asked for (``seg(..., background=...)`` replaces
        them).
    threshold: what scores less than this, in [0, 1], gets no word.
    word_thresholds: the same for single words.
    min_share: instances smaller than this part of the image are left out (not of the label map).
    phrases: words such as "the largest red car" are read: the noun is looked for, and what is said
        of it chooses among what was found. Otherwise every word is looked for as a whole.
    whole_phrases: of a relation whose other noun was not found ("person on horse" without a horse),
        the model is asked for the whole phrase. None: models that know more than a list of words.
    flat: all words compete for every pixel. Otherwise parts, kinds and clothes of another word
        ("face" of "person", "poodle" of "dog") get masks beside it, and the label map shows them.
        More than 50 words always compete.
    """

    background: tuple[str, ...] = DEFAULT_BACKGROUND
    threshold: float = 0.0
    word_thresholds: Mapping[str, float] = field(default_factory=dict)
    min_share: float = 0.0004
    phrases: bool = True
    whole_phrases: bool | None = None
    flat: bool = False

    def check(self) -> None:
        """Raise OptionError for a value out of its range."""
        check_range(self, 0, 1, "threshold", "min_share")
        for word, value in self.word_thresholds.items():
            if not 0 <= value <= 1:
                raise OptionError(f"the threshold of {word!r} is {value}; give 0 to 1")


@dataclass(frozen=True)
class TemplatesConfig(ConfigBase):
    """templates: sentences around a word: "plain", "photo", CLIP's "imagenet-7" and "imagenet-80",
    or sentences of one's own with {} for the word.
    """

    templates: str | tuple[str, ...] = "plain"

    def check(self) -> None:
        """Raise OptionError for templates without {}, UnknownName for another name."""
        template_sentences(self.templates)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The templates as sentences."""
        return template_sentences(self.templates)


@dataclass(frozen=True)
class WindowsConfig(ConfigBase):
    """short_side: pixels that the image's short side is scaled to; None: as the encoder wants.
    window: larger images are encoded by windows of so many pixels a side; None: as the encoder
        wants.
    scales: the image is encoded at these multiples of ``short_side``; scores are averaged on the
        finest grid.
    flip: also encode the mirrored image. Words with a side in them ("left eye") suffer.
    """

    short_side: int | None = None
    window: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def check(self) -> None:
        """Raise OptionError for a value out of its range."""
        check_range(self, 32, 8192, "short_side", "window")
        if not self.scales or not all(0.1 <= scale <= 8 for scale in self.scales):
            raise OptionError(f"scales are {self.scales}; give numbers from 0.1 to 8")


@dataclass(frozen=True)
class GuidedFilterConfig(ConfigBase):
    """refine_radius: of the guided filter's windows, along which outlines follow the image: cells
        of the map. None: 2, or 1 where cells have more than 8 pixels a side.
    refine_epsilon: the variance of colours, in [0, 1] squared, below which a window counts as flat.
    """

    refine_radius: int | None = None
    refine_epsilon: float = 1e-4

    def check(self) -> None:
        """Raise OptionError for a value out of its range."""
        check_range(self, 0, 64, "refine_radius")
        check_range(self, 1e-6, 1e3, "refine_epsilon")  # less than float32's rounding counts for


@dataclass(frozen=True)
class DenseConfig(GuidedFilterConfig, TemplatesConfig, VocabularyConfig, WindowsConfig):
    """stride: pixels from window to window; None: of CLIP half a window.
    refine: "guided" lets boundaries follow the image, "none" enlarges bilinearly, "pamr" lets
        logits flow between pixels of like colour.
    pamr_steps: how often logits flow.
    pamr_dilations: how many pixels far, as in (8, 16); (): of CLIP so far, as the papers have it,
        else half a cell of the map and a cell.
    paint_unknown: let words that the encoder does not know compete too. Otherwise they get no
        pixel, save in a closed vocabulary, where the user rules out everything else.
    positions: how CLIP's position embeddings are resized: by "scale", as the papers do, or to
        "size", as transformers does.
    logit_scale: what cosines are multiplied with before the softmax; None: the encoder's own.
    area_threshold: words that win at most this part of what is not background lose it.
    presence: a region loses its word where, on average, the word's probability is less than this
        part of its and the background's together; None: as suits the encoder.
    """

    stride: int | None = None
    refine: str = "guided"
    pamr_steps: int = 10
    pamr_dilations: tuple[int, ...] = ()
    paint_unknown: bool = False
    positions: str = "scale"
    logit_scale: float | None = None
    area_threshold: float = 0.0
    presence: float | None = None

    def check(self) -> None:
        """Raise OptionError for a value out of its range, UnknownName for no choice."""
        check_choice(self, "refine", ("guided", "none", "pamr"))
        check_choice(self, "positions", ("scale", "size"))
        check_range(self, 1, 8192, "stride")
        check_range(self, 1, 1000, "pamr_steps")
        if not all(1 <= dilation <= 512 for dilation in self.pamr_dilations):
            raise OptionError(f"pamr_dilations are {self.pamr_dilations}; give numbers of 1 to 512")
        check_range(self, 1e-6, 1e6, "logit_scale")
        check_range(self, 0, 1, "area_threshold", "presence")


@dataclass(frozen=True)
class ProxyConfig(DenseConfig):
    """encoder: a CLIP.
    proxy: the checkpoint that says which places belong together.
    beta, gamma: affinities are (cosine - beta * mean) * gamma, and count above 0.
    """

    encoder: str = "clip-vit-b16.openai"
    proxy: str = "dino-vit-b8"
    beta: float = 1.2
    gamma: float = 3.0
    short_side: int | None = 336
    window: int | None = 336
    stride: int | None = 112
    templates: str | tuple[str, ...] = "imagenet-80"
    logit_scale: float | None = 40.0

    def check(self) -> None:
        """Raise OptionError for a value out of its range."""
        check_range(self, 1e-6, 1e6, "gamma")


@dataclass(frozen=True)
class MaskerConfig(ConfigBase):
    """masker: a checkpoint that is a mask model, its folder or its file.
    compile: the mask model goes through torch.compile: minutes at first, for many images.
    iou_threshold: of masks with at least this IoU the better one alone stays.
    """

    masker: str = "tiny"
    compile: bool = False
    iou_threshold: float = 0.8

    def check(self) -> None:
        """Raise OptionError for a value out of its range."""
        check_range(self, 0, 1, "iou_threshold")
        if self.iou_threshold == 0:
            raise OptionError("iou_threshold is 0: every mask would be every other; give more")


def check_range(config: Any, low: float, high: float, *names: str) -> None:
    """Raise OptionError where a field of ``config`` is neither None nor from low to high."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise OptionError(f"{name} is {value}; give {low:g} to {high:g}")


def check_choice(config: Any, name: str, choices: Collection[str]) -> None:
    """Raise UnknownName where a field of ``config`` is none of the choices."""
    value = getattr(config, name)
    if value not in choices:
        raise UnknownName.among(f"{name}", str(value), choices)


def describe_fields(config: type) -> str:
    """Return what the fields of a Config mean, one after another: "name, name: meaning".

    A Config's own docstring comes first, then those of its parts; what it explains anew counts.
    """
    names = [field.name for field in fields(config)]
    entry = re.compile(rf"^((?:{'|'.join(names)})(?:, (?:{'|'.join(names)}))*): ", re.MULTILINE)
    told: set[str] = set()
    out: list[str] = []
    for part in config.__mro__:
        if not is_dataclass(part):
            continue
        text = inspect.getdoc(part) or ""
        starts = [match.start() for match in entry.finditer(text)]
        for start, stop in zip(starts, [*starts[1:], len(text)], strict=False):
            own = set(text[start : text.index(":", start)].split(", "))
            if not own & told:
                out.append(text[start:stop].rstrip())
                told |= own
    return "\n".join(out)
