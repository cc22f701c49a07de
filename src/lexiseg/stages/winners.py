"""Until ``methods`` label pixels through ``DenseFeatures``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lexiseg.stages.clip_windows import Windows
from lexiseg.stages.label_map import LabelMap
from lexiseg.stages.tiled_argmax import ArgmaxRules, argmax_labels
from lexiseg.stages.word_vectors import WordVectors

__all__ = ["Rules", "grid_probabilities", "winners"]


def Rules(scale: float, thresholds: Any = None, area: float = 0.0, pamr: Any = None) -> ArgmaxRules:
    """Return how logits become labels."""
    return ArgmaxRules(scale, thresholds, area, pamr)


def winners(windows: Sequence[Windows], words: WordVectors, rules: ArgmaxRules) -> LabelMap:
    """Label every pixel with the class of the best query."""
    return argmax_labels([one.logits(words) for one in windows], words, rules)


def grid_probabilities(windows: Sequence[Windows], words: WordVectors, scale: float) -> Tensor:
    """Return the probability of each class on the first scale's grid, (C, h, w)."""
    return windows[0].grid_probabilities(words, scale, windows[1:])
