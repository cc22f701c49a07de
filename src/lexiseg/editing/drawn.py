"""The part of a Config that operations share whose pixels a network may make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lexiseg.editing.blend import blended
from lexiseg.editing.generate import DEFAULT, Generation, generated, load
from lexiseg.editing.mark import GENERATED
from lexiseg.editing.outcome import Outcome
from lexiseg.editing.region import Region
from lexiseg.imaging import Picture

__all__ = ["Drawn", "drawn"]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """How a network makes pixels, where one does.

    model: a checkpoint of `lexiseg models`, a folder as diffusers saves it, or an Inpainter.
    steps, guidance, negative: of denoising; see `generate.Generation`.
    seeds: a picture for each.
    context: how much around the region it sees, as a part of the region.
    progress: called with (step, steps).
    """

    model: Any = None
    steps: int = 50
    guidance: float = 7.5
    negative: str = ""
    seeds: tuple[int, ...] = (0,)
    context: float = 0.5
    progress: Callable[[int, int], None] | None = None


def drawn(
    picture: Picture, where: Region, words: str, config: Drawn, strength: float = 1.0
) -> Outcome:
    """Return the picture with what a network makes of the words, once a seed, marked as such."""
    how = Generation(
        strength=strength,
        steps=config.steps,
        guidance=config.guidance,
        negative=config.negative,
        seeds=config.seeds,
        context=config.context,
        progress=config.progress,
    )
    network = load(DEFAULT if config.model is None else config.model)
    made = generated(picture, where, network, words, how)
    pictures = tuple(blended(picture, where, colours) for colours in made)
    return Outcome(pictures, GENERATED, (f"made by {network.name}",))
