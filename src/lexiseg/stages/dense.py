"""Until ``methods`` import these from where they are."""

from __future__ import annotations

from torch import Tensor

from lexiseg.stages.label_map import LabelMap, label_map
from lexiseg.stages.word_vectors import WordVectors, class_probabilities, word_vectors

__all__ = ["LabelMap", "WordVectors", "label_map", "probabilities", "word_vectors"]


def probabilities(grid: Tensor, words: WordVectors, scale: float) -> Tensor:
    """Return the probability of each class in cells (h, w, D), (C, h, w)."""
    return class_probabilities((grid.float() @ words.vectors.T).permute(2, 0, 1), words, scale)
