"""Training: the recipes that made, and make again, what the package ships.

    train_tiny      the bundled model, from photos, masks and WordNet
    refine_tiny     the head of a bundle, once more on all photos
    train_words     words of one's own for a bundle
    train_clipseg   a prompt decoder on a frozen encoder

Each takes a recipe, a folder of data and a folder for the run, and can be stopped and continued:
``RunOptions``.
"""

from __future__ import annotations

from lexiseg.training.clipseg import ClipSegRecipe, tiny_recipe, train_clipseg
from lexiseg.training.loop import RunOptions
from lexiseg.training.tiny import (
    TinyRecipe,
    WordsRecipe,
    refine_tiny,
    train_tiny,
    train_words,
)

__all__ = [
    "ClipSegRecipe",
    "RunOptions",
    "TinyRecipe",
    "WordsRecipe",
    "refine_tiny",
    "tiny_recipe",
    "train_clipseg",
    "train_tiny",
    "train_words",
]
