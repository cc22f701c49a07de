"""A detector for tests that sees nothing but colours: what it finds can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from tests.conftest import COLOURS

from lexiseg.protocols import Detections, Frame, RawMasks


@dataclass(frozen=True, eq=False)
class Seen:
    rgb: NDArray[np.uint8]
    size_hw: tuple[int, int]


@dataclass
class ColourBoxes:
    """Finds the box around all pixels of the named colour.

    Its score falls with the word's place among all colours: 0.9, 0.8, ... Words that name no
    colour are not found. A word that ends with "?" scores 0.2, one that ends with "!" 0.95.
    extra: word -> further boxes and their scores. Masks are the colour's pixels, or whole boxes.
    """

    name: str = "boxes"
    threshold: float = 0.25
    device_name: str = "cpu"
    dtype_name: str = "fp32"
    extra: dict[str, list[tuple[tuple[float, ...], float]]] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    examples: list[tuple[str | None, list[list[float]], list[bool]]] = field(default_factory=list)
    encoded: int = 0

    @property
    def sha256(self) -> dict[str, str]:
        return {"boxes.safetensors": "2" * 64}

    def encode(self, rgb: NDArray[np.uint8]) -> Seen:
        assert rgb.dtype == np.uint8
        self.encoded += 1
        return Seen(rgb, (rgb.shape[0], rgb.shape[1]))

    def detect_like(
        self,
        state: Seen,
        word: str | None,
        boxes_xyxy: torch.Tensor,
        wanted: torch.Tensor,
        *,
        threshold: float,
    ) -> Detections:
        """What has the colour of a box's middle, and is of no unwanted box's colour: score 0.75."""
        self.examples.append((word, boxes_xyxy.tolist(), wanted.tolist()))
        seen = []
        for x0, y0, x1, y1 in boxes_xyxy.tolist():
            middle = tuple(int(v) for v in state.rgb[int(y0 + y1) // 2, int(x0 + x1) // 2])
            seen.append({rgb: name for name, rgb in COLOURS.items()}[middle])
        wrong = {name for name, want in zip(seen, wanted.tolist(), strict=True) if not want}
        right = dict.fromkeys(n for n, w in zip(seen, wanted.tolist(), strict=True) if w)
        found = self.detect(state, [n for n in right if n not in wrong], threshold=0.0)
        scores = torch.full((len(found),), 0.75)
        kept = scores >= threshold
        assert found.masks is not None
        return Detections(
            found.boxes_xyxy[kept], scores[kept], torch.zeros_like(found.words)[kept],
            found.masks[kept],
        )  # fmt: skip

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
        boxes = torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4)
        scores = torch.tensor([row[1] for row in rows], dtype=torch.float32)
        which = torch.tensor([row[2] for row in rows], dtype=torch.int64)
        masks = torch.zeros(len(rows), *state.size_hw)
        for mask, ((x0, y0, x1, y1), _, k) in zip(masks, rows, strict=True):
            x0, y0, x1, y1 = (round(v) for v in (x0, y0, x1, y1))
            colour = COLOURS.get(words[k].rstrip("?!"))
            mask[y0:y1, x0:x1] = 1.0
            if colour is not None:
                mask *= torch.from_numpy((state.rgb == colour).all(2))
        frame = Frame(state.size_hw, state.size_hw, state.size_hw)
        return Detections(boxes, scores, which, RawMasks(masks - 0.5, scores, which, frame))
