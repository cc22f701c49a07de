"""Training of prompt decoders: CLIPSeg's on a CLIP, and the bundled model's own head."""

from __future__ import annotations

from lexiseg.training.clipseg.recipe import ClipSegRecipe, tiny_recipe
from lexiseg.training.clipseg.train import train_clipseg

__all__ = ["ClipSegRecipe", "tiny_recipe", "train_clipseg"]
