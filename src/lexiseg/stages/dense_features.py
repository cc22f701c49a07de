"""What the two ways to encode an image by windows have in common: features on a grid of cells.

``encoder_windows`` averages the features of overlapping windows on one grid; ``clip_windows`` keeps
the cells of every window and averages logits, as SCLIP and its successors do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.stages.label_map import GuidedFilter, LabelMap, Window, label_map
from lexiseg.stages.word_vectors import WordVectors

__all__ = ["DenseFeatures", "LabelRules", "boxes_in_image"]


@dataclass(frozen=True)
class LabelRules:
    """How pixels get their labels.

    scale: what cosines are multiplied with before the softmax. thresholds: (C,) in [0, 1]; a pixel
    whose winner scores less gets -1. refine: "none" interpolates, "guided" lets outlines follow the
    image, "pamr" lets logits flow between pixels of like colour. radius, epsilon: of the guided
    filter. pamr_steps: how often logits flow. area_threshold: classes that win at most this part
    of what the background does not win lose it; it is for window features.
    """

    scale: float
    thresholds: NDArray[np.float32] | None = None
    refine: str = "guided"
    radius: int = 1
    epsilon: float = 1e-3
    pamr_steps: int = 10
    area_threshold: float = 0.0


class DenseFeatures(ABC):
    """Features of an image at one scale, as a value: further words cost no second encoding.

    size_hw: the image. work_hw: the size that it was scaled to.
    """

    size_hw: tuple[int, int]
    work_hw: tuple[int, int]

    @property
    @abstractmethod
    def raster(self) -> tuple[tuple[int, int], int]:
        """The size that cells count pixels of, and how many of them a cell has a side.

        As ``GuidedFilter`` and ``DenseScores`` take it: the grid may reach over that size.
        """

    @property
    @abstractmethod
    def windows_xyxy(self) -> NDArray[np.int64]:
        """The parts of the image that were encoded, in its pixels, (N, 4)."""

    @abstractmethod
    def grid_probabilities(
        self, words: WordVectors, scale: float, others: Sequence[Self] = ()
    ) -> Tensor:
        """Return the probability of each class in each cell, (C, h, w) float32.

        scale: what cosines are multiplied with. others: further scales of the same image, which
        are averaged on this grid.
        """

    def label_pixels(
        self,
        words: WordVectors,
        probabilities: Tensor,
        rgb: NDArray[np.uint8],
        rules: LabelRules,
        others: Sequence[Self] = (),
    ) -> LabelMap:
        """Return the label map of the image (H, W, 3).

        probabilities: what ``grid_probabilities`` returned of the same words and other scales.
        """
        radius = rules.radius if rules.refine == "guided" else 0
        guide = GuidedFilter(rgb, *self.raster, radius, rules.epsilon)
        return label_map(probabilities, guide, rules.thresholds)


def boxes_in_image(
    windows: Sequence[Window], work_hw: tuple[int, int], size_hw: tuple[int, int]
) -> NDArray[np.int64]:
    """Return windows of a scaled image in pixels of the image, (N, 4) x0, y0, x1, y1."""
    boxes = np.array(windows, np.float64).reshape(-1, 4)[:, [1, 0, 3, 2]]
    scale = np.tile(np.array(size_hw[::-1]) / work_hw[::-1], 2)
    return np.asarray(np.rint(boxes * scale), np.int64)
