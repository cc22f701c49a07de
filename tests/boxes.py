"""A detector for tests that sees nothing but colours: what it finds can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from tests.conftest import COLOURS

from lexiseg.protocols import Detections


@dataclass(frozen=True, eq=False)
class Seen:
    rgb: NDArray[np.uint8]
    size_hw: tuple[int, int]


@dataclass
class ColourBoxes:
    """Finds the box around all pixels of the named colour.

    Its score falls with the word's place among all colours: 0.9, 0.8, ... Words that name no
    colour are not found. A word that ends with "?" scores 0.2, one that ends with "!" 0.95.
    extra: word -> further boxes and their scores.
    """

    name: str = "boxes"
    threshold: float = 0.25
    device_name: str = "cpu"
    dtype_name: str = "fp32"
    extra: dict[str, list[tuple[tuple[float, ...], float]]] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    encoded: int = 0

    @property
    def sha256(self) -> dict[str, str]:
        return {"boxes.safetensors": "2" * 64}

    def encode(self, rgb: NDArray[np.uint8]) -> Seen:
        assert rgb.dtype == np.uint8
        self.encoded += 1
        return Seen(rgb, (rgb.shape[0], rgb.shape[1]))

    def detect(self, state: Seen, words: Sequence[str], *, threshold: float) -> Detections:
        self.asked.append(list(words))
        rows: list[tuple[tuple[float, ...], float, int]] = []
        for k, word in enumerate(words):
            rows += [(box, score, k) for box, score in self.extra.get(word, [])]
            colour = word.rstrip("?!")
            if colour not in COLOURS:
                continue
            hit = (state.rgb == COLOURS[colour]).all(2)
            if hit.any():
                ys, xs = np.nonzero(hit)
                score = 0.9 - 0.1 * list(COLOURS).index(colour)
                score = {"?": 0.2, "!": 0.95}.get(word[-1], score)
                rows.append(((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), score, k))
        rows = [row for row in rows if row[1] >= threshold]
        return Detections(
            torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4),
            torch.tensor([row[1] for row in rows], dtype=torch.float32),
            torch.tensor([row[2] for row in rows], dtype=torch.int64),
        )
