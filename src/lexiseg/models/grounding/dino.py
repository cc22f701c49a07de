"""Grounding DINO (Liu et al. 2024): boxes for the phrases of a caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, OnDevice
from lexiseg.errors import PromptError
from lexiseg.models._transformers import load_pretrained
from lexiseg.models.grounding.boxes import in_pixels
from lexiseg.protocols import Detections

__all__ = ["GroundingDino", "captions"]

_SHORT, _LONG = 800, 1333  # pixels, the paper's evaluation size
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class _State:
    pixels: Tensor
    size_hw: tuple[int, int]


class GroundingDino(OnDevice):
    """A caption of all words is compared with the picture at once: "a cat. a dog.".

    A box's score for a word is the sigmoid of the best logit among the word's tokens. The paper's
    code takes the best of all tokens, the full stops' too, and reads the phrase off the tokens
    above a second threshold; that may join or halve words.
    """

    threshold = 0.35  # of the official demonstration, for boxes

    def __init__(self, checkpoint: Checkpoint, compute: Compute) -> None:
        from tokenizers import Tokenizer

        folder = checkpoint["config.json"].parent
        self.name = checkpoint.record.name
        self.sha256: Mapping[str, str] = checkpoint.sha256
        self._compute = compute
        self._model = load_pretrained(
            "GroundingDinoForObjectDetection", folder, compute, extra="grounding"
        )
        self._tokenizer = Tokenizer.from_file(str(checkpoint["tokenizer.json"]))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def encode(self, rgb: NDArray[np.uint8]) -> _State:
        """Scale a picture (H, W, 3); words and picture meet too early to keep more than that."""
        height, width = rgb.shape[:2]
        h, w = _scaled((height, width))
        small = Image.fromarray(rgb).resize((w, h), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 255
        mean, std = torch.tensor(_MEAN).view(3, 1, 1), torch.tensor(_STD).view(3, 1, 1)
        pixels = ((pixels - mean) / std).to(self._compute.device, self._compute.dtype)
        return _State(pixels, (height, width))

    @torch.inference_mode()
    def detect(self, state: _State, words: Sequence[str], *, threshold: float) -> Detections:
        """Return the boxes that score at least ``threshold`` for one of the words."""
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        limit = int(self._model.config.max_text_len)
        for ids, spans, first in captions(self._tokenizer, words, limit):
            out = self._model(
                pixel_values=state.pixels,
                input_ids=torch.tensor([ids], device=self._compute.device),
            )
            probabilities = out.logits[0].float().sigmoid()
            scores = torch.stack([probabilities[:, a:b].amax(1) for a, b in spans], 1)
            best, word = scores.max(1)
            kept = best >= threshold
            boxes = in_pixels(out.pred_boxes[0][kept], state.size_hw, state.size_hw)
            parts.append((boxes, best[kept], word[kept] + first))
        boxes, scores, which = (torch.cat(column) for column in zip(*parts, strict=True))
        return Detections(boxes, scores, which)


def captions(
    tokenizer: object, words: Sequence[str], limit: int
) -> list[tuple[list[int], list[tuple[int, int]], int]]:
    """Captions of at most ``limit`` tokens: ids, each word's span of tokens, which word is first.

    A word is lower case and ends with a full stop, as the model was trained. Raises PromptError for
    a word that is longer than a caption.
    """
    out: list[tuple[list[int], list[tuple[int, int]], int]] = []
    rows = [word.lower().replace(".", " ").strip() for word in words]
    parts = [
        tokenizer.encode(f"{row}.", add_special_tokens=False).ids  # type: ignore[attr-defined]
        for row in rows
    ]
    start, end = tokenizer.encode("").ids  # type: ignore[attr-defined]
    ids: list[int] = [start]
    spans: list[tuple[int, int]] = []
    first = 0
    for i, tokens in enumerate(parts):
        if len(tokens) + 2 > limit:
            raise PromptError(
                f"the word {words[i][:40]!r}... has {len(tokens)} tokens; give at most {limit - 2}"
            )
        if len(ids) + len(tokens) + 1 > limit:
            out.append(([*ids, end], spans, first))
            ids, spans, first = [start], [], i
        spans.append((len(ids), len(ids) + len(tokens) - 1))  # without the full stop
        ids = ids + list(tokens)
    out.append(([*ids, end], spans, first))
    return out


def _scaled(size_hw: tuple[int, int]) -> tuple[int, int]:
    """The short side to 800 pixels, but the long one to 1333 at most."""
    short, long = min(size_hw), max(size_hw)
    ends = float(_SHORT)
    if long / short * _SHORT > _LONG:
        ends = _LONG * short / long
    target = max(1, round(ends))
    other = max(1, int(ends * long / short))
    return (target, other) if size_hw[0] <= size_hw[1] else (other, target)
