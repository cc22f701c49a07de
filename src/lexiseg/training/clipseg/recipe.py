"""What decides a training run, but for the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lexiseg.errors import OptionError

__all__ = ["SHUFFLE_PLUS", "ClipSegRecipe", "tiny_recipe"]

# The nine sentences of the paper's training ("shuffle+"); a frozen CLIP saw them all.
SHUFFLE_PLUS = (
    "a photo of a {}.", "a photograph of a {}.", "an image of a {}.", "{}.",
    "a cropped photo of a {}.", "a good photo of a {}.", "a photo of one {}.",
    "a bad photo of a {}.", "a photo of the {}.",
)  # fmt: skip


@dataclass(frozen=True)
class ClipSegRecipe:
    """The recipe of CLIPSeg's ``rd64-uni`` (experiments/phrasecut.yaml); refined: 50,000 steps.

    steps, batch: of ``batch`` pictures each, gathered from ``accumulate`` parts. rate, last_rate:
    of AdamW, by a half cosine. prompts: of each picture; the paper's is 1. negatives: the chance
    that a prompt is of something else, and the target empty. visual: the chance that a prompt with
    another picture of its phrase is mixed: ``w * words + (1 - w) * picture``, w even in mix_low
    to mix_high. examples: pictures averaged, 1 up to so many. ways: how they are prepared.
    side: pixels of a crop. jitter: crops have the picture's short side, over 1 to ``jitter``.
    crop_least: of a crop that its thing covers, or 50 tries. amp: half precision where the
    device has it. cache: look at each picture once, in one fixed crop, and train on what the
    frozen encoder gave. rarity: pictures are drawn by their rarest phrase's count to minus this.
    val_every, val_photos: how often, and on how many, the validation metrics are computed.
    """

    steps: int = 20_000
    batch: int = 64
    accumulate: int = 1
    rate: float = 1e-3
    last_rate: float = 1e-4
    weight_decay: float = 0.01
    prompts: int = 1
    negatives: float = 0.2
    visual: float = 1.0
    mix_low: float = 0.0
    mix_high: float = 0.5
    examples: int = 1
    ways: tuple[str, ...] = ("crop", "blur", "darken")
    templates: tuple[str, ...] = SHUFFLE_PLUS
    side: int = 352
    jitter: float = 1.5
    crop_least: float = 0.05
    amp: bool = True
    cache: bool = False
    rarity: float = 0.0
    per_set: int | None = None
    reduce_dim: int = 64
    refined: bool = False
    layers: tuple[int, ...] | None = None
    dropout: float = 0.1
    seed: int = 0
    save_every: int = 500
    val_every: int = 1000
    val_photos: int = 200

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "prompts", "examples", "side", "save_every"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; give at least 1")
        if self.batch % self.accumulate:
            raise OptionError(
                f"a batch of {self.batch} does not part into {self.accumulate}; give a divisor"
            )
        if not 0 <= self.mix_low <= self.mix_high <= 1 or not 0 <= self.negatives <= 1:
            raise OptionError("mix_low, mix_high and negatives lie in [0, 1], low before high")


def tiny_recipe(**changes: Any) -> ClipSegRecipe:
    """The recipe on the bundled encoder: features are computed once, prompts are of every kind."""
    given: dict[str, Any] = {
        "steps": 3000, "batch": 12, "rate": 2e-3, "last_rate": 1e-5, "prompts": 6,
        "negatives": 0.35, "visual": 0.6, "mix_high": 0.6, "examples": 5, "ways": (),
        "templates": ("{}", "a photo of a {}", "the {}"), "side": 256, "cache": True,
        "rarity": 0.5, "per_set": 1500, "amp": False,
    }  # fmt: skip
    return ClipSegRecipe(**{**given, **changes})
