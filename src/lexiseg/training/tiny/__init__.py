"""How the bundled model is made (``train_tiny``), made better, and taught words of one's own."""

from __future__ import annotations

from lexiseg.training.tiny.recipe import TinyRecipe, recipe_for, refine_tiny, train_tiny
from lexiseg.training.tiny.user_words import WordsRecipe, train_words

__all__ = [
    "TinyRecipe", "WordsRecipe", "recipe_for", "refine_tiny", "train_tiny", "train_words",
]  # fmt: skip
