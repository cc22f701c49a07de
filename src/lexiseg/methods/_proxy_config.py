"""What the methods with a proxy share: settings, and windows padded as their code pads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lexiseg.errors import OptionError, UnknownName
from lexiseg.prompts import DEFAULT_BACKGROUND, TEMPLATES

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ALIGNED", "ProxySettings", "padded"]

ALIGNED = 56  # pixels: whole cells of 8 and of 14


@dataclass(frozen=True)
class ProxySettings:
    """Settings of a method that reads CLIP out along a proxy's affinities.

    encoder: a CLIP.
    proxy: the checkpoint that says which places belong together.
    beta, gamma: affinities are (cosine - beta * mean) * gamma, and count above 0.
    short_side: pixels that the picture's short side is scaled to.
    window, stride: of the windows that it is looked at through, in pixels.
    scales: the picture is looked at at these multiples of ``short_side``; scores are averaged.
    flip: also look at the mirrored picture.
    templates: "plain", "photo", CLIP's "imagenet-7" and "imagenet-80", or sentences of one's own
        with {} for the word.
    background: words that take what nobody asked for.
    threshold: pixels whose word scores less, in [0, 1], get no word.
    word_thresholds: the same for single words.
    refine: "guided" lets boundaries follow the picture, "none" enlarges bilinearly, "pamr" lets
        logits flow between pixels of like colour.
    refine_radius, refine_epsilon: of the guided filter: cells, and variance of colours.
    pamr_steps: how often logits flow.
    paint_unknown: let words that the encoder does not know compete too.
    min_share: instances smaller than this part of the picture are left out.
    positions: how CLIP's position embeddings are resized: by "scale" or to "size".
    logit_scale: what cosines are multiplied with before the softmax.
    area_threshold: words that win at most this part of what is not background lose it.
    """

    encoder: str = "clip-vit-b16.openai"
    proxy: str = "dino-vit-b8"
    beta: float = 1.2
    gamma: float = 3.0
    short_side: int = 336
    window: int = 336
    stride: int = 112
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    templates: str | tuple[str, ...] = "imagenet-80"
    background: tuple[str, ...] = DEFAULT_BACKGROUND
    threshold: float = 0.0
    word_thresholds: Mapping[str, float] = field(default_factory=dict)
    refine: str = "guided"
    refine_radius: int = 1
    refine_epsilon: float = 1e-3
    pamr_steps: int = 10
    paint_unknown: bool = False
    min_share: float = 0.0004
    positions: str = "scale"
    logit_scale: float | None = 40.0
    area_threshold: float = 0.0

    def __post_init__(self) -> None:
        for name in ("short_side", "window"):
            if not 32 <= getattr(self, name) <= 8192:
                raise OptionError(f"{name} is {getattr(self, name)}; give 32 to 8192 pixels")
        if not 1 <= self.stride <= 8192:
            raise OptionError(f"stride is {self.stride}; give 1 to 8192 pixels")
        if not self.scales or not all(0.1 <= s <= 8 for s in self.scales):
            raise OptionError(f"scales are {self.scales}; give numbers from 0.1 to 8")
        for word, value in {"threshold": self.threshold, **self.word_thresholds}.items():
            if not 0 <= value <= 1:
                raise OptionError(f"the threshold of {word!r} is {value}; give 0 to 1")
        if self.refine not in ("guided", "none", "pamr"):
            raise UnknownName.among("way to refine", self.refine, ("guided", "none", "pamr"))
        if self.positions not in ("scale", "size"):
            raise UnknownName.among("way to resize positions", self.positions, ("scale", "size"))
        for name in ("gamma", "logit_scale"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise OptionError(f"{name} is {value}; give a number above 0")
        if not 1 <= self.refine_radius <= 64 or not 1e-6 <= self.refine_epsilon <= 1e3:
            raise OptionError(
                f"refine_radius {self.refine_radius}, refine_epsilon {self.refine_epsilon}; give "
                "1 to 64 cells, and 1e-6 to 1000"
            )
        if self.pamr_steps < 1 or not 0 <= self.area_threshold < 1 or not 0 <= self.min_share < 1:
            raise OptionError(
                f"pamr_steps {self.pamr_steps}, area_threshold {self.area_threshold}, min_share "
                f"{self.min_share}; give at least 1 step, and parts from 0 to below 1"
            )
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


def padded(pixels: Tensor, multiple: int, mean: tuple[float, float, float]) -> Tensor:
    """Windows (B, H, W, 3) with the mean colour around them, up to multiples: zeros for CLIP.

    mean: red, green, blue in [0, 1]. Returns float32, values from 0 to 255.
    """
    import torch

    below, right = (-side % multiple for side in pixels.shape[1:3])
    top, left = below // 2, right // 2
    height, width = pixels.shape[1:3]
    colour = torch.tensor(mean, device=pixels.device) * 255
    out = colour.expand(len(pixels), height + below, width + right, 3).clone()
    out[:, top : top + height, left : left + width] = pixels.float()
    return out
