"""How the bundled model is made: ``train_tiny`` runs the whole recipe; see its docstring."""

from __future__ import annotations

from lexiseg.training.tiny.recipe import TinyRecipe, train_tiny

__all__ = ["TinyRecipe", "train_tiny"]
