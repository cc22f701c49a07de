"""What decides a training run, but for the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lexiseg.errors import OptionError
from lexiseg.training.loop import FitSettings

__all__ = ["SHUFFLE_PLUS", "ClipSegRecipe", "tiny_recipe"]

# The nine templates of the paper's training ("shuffle+").
SHUFFLE_PLUS = (
    "a photo of a {}.", "a photograph of a {}.", "an image of a {}.", "{}.",
    "a cropped photo of a {}.", "a good photo of a {}.", "a photo of one {}.",
    "a bad photo of a {}.", "a photo of the {}.",
)  # fmt: skip


@dataclass(frozen=True)
class ClipSegRecipe(FitSettings):
    """The recipe of CLIPSeg's ``rd64-uni`` (experiments/phrasecut.yaml); refined: 50,000 steps.

    batch: photos a step, accumulated from ``accumulate`` parts. prompts: of each photo; the
    paper's is 1. negative_share: of the prompts are of another phrase, and the target is empty.
    visual_share: of the prompts whose phrase another photo shows are mixed: ``w * words + (1 - w)
    * example``, w even in mix_low to mix_high. max_examples: example pictures averaged, 1 up to
    so many. ways: how these are prepared. side: pixels of a crop. jitter: crops have the photo's
    short side, over 1 to ``jitter``. min_crop_share: of the photo that is to be in the mask, in
    the crop. amp: half precision on CUDA. cache: encode each photo once, in one fixed crop, and
    train on that. rarity: photos are drawn by their rarest phrase's count to minus this.
    photos_per_set: at most so many of each. evaluate_every, val_photos: how often, and on how
    many, the validation measures are computed.
    """

    steps: int = 20_000
    lr: float = 1e-3
    final_lr: float = 1e-4
    max_grad_norm: float | None = None
    save_every: int = 500
    batch: int = 64
    accumulate: int = 1
    prompts: int = 1
    negative_share: float = 0.2
    visual_share: float = 1.0
    mix_low: float = 0.0
    mix_high: float = 0.5
    max_examples: int = 1
    ways: tuple[str, ...] = ("crop", "blur", "darken")
    templates: tuple[str, ...] = SHUFFLE_PLUS
    side: int = 352
    jitter: float = 1.5
    min_crop_share: float = 0.05
    amp: bool = True
    cache: bool = False
    rarity: float = 0.0
    photos_per_set: int | None = None
    reduce_dim: int = 64
    refined: bool = False
    layers: tuple[int, ...] | None = None
    dropout: float = 0.1
    evaluate_every: int = 1000
    val_photos: int = 200

    def __post_init__(self) -> None:
        at_least_one = (
            "steps", "batch", "accumulate", "prompts", "max_examples", "side", "save_every",
            "evaluate_every",
        )  # fmt: skip
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; give at least 1")
        if self.batch % self.accumulate:
            raise OptionError(
                f"a batch of {self.batch} cannot be split into {self.accumulate} equal parts; give "
                "a divisor as accumulate"
            )
        if not 0 <= self.mix_low <= self.mix_high <= 1 or not 0 <= self.negative_share <= 1:
            raise OptionError(
                f"mix_low {self.mix_low}, mix_high {self.mix_high} and negative_share "
                f"{self.negative_share} lie in [0, 1], and mix_low is at most mix_high"
            )


def tiny_recipe(**changes: Any) -> ClipSegRecipe:
    """The recipe on the bundled encoder: photos are encoded once, prompts are of every kind."""
    given: dict[str, Any] = {
        "steps": 3000, "batch": 12, "lr": 2e-3, "final_lr": 1e-5, "prompts": 6,
        "negative_share": 0.35, "visual_share": 0.6, "mix_high": 0.6, "max_examples": 5,
        "ways": (), "templates": ("{}", "a photo of a {}", "the {}"), "side": 256, "cache": True,
        "rarity": 0.5, "photos_per_set": 1500, "amp": False,
    }  # fmt: skip
    return ClipSegRecipe(**{**given, **changes})
