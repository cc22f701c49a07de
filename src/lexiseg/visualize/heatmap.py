"""The heat map: how strongly each pixel answers to one word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexiseg.visualize import canvas
from lexiseg.visualize.scale import attach_scale, heat

if TYPE_CHECKING:
    from lexiseg.results import Segmentation

__all__ = ["heatmap"]


def heatmap(
    seg: Segmentation, word: str, image: canvas.Image | None = None, *, legend: bool = True
) -> NDArray[np.uint8]:
    """Draw the score of `word` at each pixel over the photo in grey.

    The scale is always that of scores, 0 to 1, so that two words, or two photos, compare.
    With a legend, return a figure for the eye, (H', W', 3) uint8, sized as `overlay` sizes its
    own; without one, exactly (H, W, 3). Raises WordNotAsked for a word outside the vocabulary.
    """
    scores = seg.heatmap(word)
    rgb = canvas.pixels(seg, image)
    size_hw = canvas.figure_size(scores.shape) if legend else scores.shape
    figure = heat(canvas.scaled(rgb, size_hw), canvas.scaled(scores, size_hw))
    if not legend:
        return figure
    return attach_scale(figure, word, f"highest {float(scores.max(initial=0.0)):.2f}")
