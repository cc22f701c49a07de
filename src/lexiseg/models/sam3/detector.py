"""SAM 3 of transformers, with lexiseg's own preparing of pixels, words and boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, OnDevice
from lexiseg.models._transformers import load_pretrained
from lexiseg.models.grounding.boxes import in_pixels
from lexiseg.models.sam2.masker import squashed
from lexiseg.protocols import Detections, Frame, RawMasks

__all__ = ["Sam3", "Sam3State"]

_HALF = (0.5, 0.5, 0.5)
_TOKENS = 32  # a phrase's length in training, start and end included
_BY_LOOKS = "visual"  # the phrase that stands for "whatever the boxes show"


@dataclass(frozen=True, eq=False)
class Sam3State:
    """A picture's features, which any number of phrases are compared with."""

    features: Any
    size_hw: tuple[int, int]


class Sam3(OnDevice):
    """One phrase a pass over the picture's features: boxes, scores and masks of all its things.

    A score is the phrase's presence in the picture times the thing's own, as the paper has it. Mask
    values are probabilities less one half: they are enlarged as probabilities there.
    """

    threshold = 0.5

    def __init__(self, checkpoint: Checkpoint, compute: Compute) -> None:
        from lexiseg.models.clip.tokenizer import tokenizer

        self.name = checkpoint.record.name
        self.sha256: Mapping[str, str] = checkpoint.sha256
        self._compute = compute
        self._model = load_pretrained(
            "Sam3Model", checkpoint["config.json"].parent, compute, extra="sam3"
        )
        self._tokenizer = tokenizer(checkpoint.paths.get("tokenizer.json"))

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8]) -> Sam3State:
        """Encode a picture (H, W, 3), squashed to the model's square."""
        side = self._model.config.image_size
        side = int(side if isinstance(side, int) else side[0])
        pixels = squashed(rgb, side, _HALF, _HALF).to(self._compute.device, self._compute.dtype)
        return Sam3State(self._model.get_vision_features(pixels), (rgb.shape[0], rgb.shape[1]))

    @torch.inference_mode()
    def detect(self, state: Sam3State, words: Sequence[str], *, threshold: float) -> Detections:
        """Return the things of each word that score at least ``threshold``, with masks."""
        parts = [self._detect_word(state, word, None, None, threshold) for word in words]
        return _joined(parts, state)

    @torch.inference_mode()
    def detect_like(
        self,
        state: Sam3State,
        word: str | None,
        boxes_xyxy: Tensor,
        wanted: Tensor,
        *,
        threshold: float,
    ) -> Detections:
        """Return the things that are like those in boxes, and what ``word`` says, if given.

        boxes_xyxy: (N, 4) in pixels of the picture. wanted: (N,) bool; False for what is not meant.
        """
        height, width = state.size_hw
        extent = torch.tensor([width, height, width, height], dtype=torch.float32)
        x0, y0, x1, y1 = (boxes_xyxy.float().cpu() / extent).unbind(-1)
        places = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], -1)
        places = places.to(self._compute.device, self._compute.dtype)[None]
        labels = wanted.long().to(self._compute.device)[None]
        phrase = _BY_LOOKS if word is None else word
        return _joined([self._detect_word(state, phrase, places, labels, threshold)], state)

    def _detect_word(
        self,
        state: Sam3State,
        phrase: str,
        boxes: Tensor | None,
        labels: Tensor | None,
        threshold: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (N, 4) in pixels, scores (N,) and mask values (N, h, w) of one phrase."""
        from lexiseg.models.clip.tokenizer import tokenise

        (row,) = tokenise(self._tokenizer, [phrase], _TOKENS)
        ids = torch.tensor([row], device=self._compute.device)
        out = self._model(
            vision_embeds=state.features,
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_boxes=boxes,
            input_boxes_labels=labels,
        )
        scores = out.pred_logits[0].float().sigmoid() * out.presence_logits[0].float().sigmoid()
        kept = scores >= threshold
        corners = out.pred_boxes[0][kept].float()
        middle, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
        boxes = in_pixels(torch.cat([middle, sides], 1), state.size_hw, state.size_hw)
        return boxes, scores[kept], out.pred_masks[0][kept].float().sigmoid() - 0.5


def _joined(parts: Sequence[tuple[Tensor, Tensor, Tensor]], state: Sam3State) -> Detections:
    """The answers to all words, one after the other."""
    boxes, scores, masks = (torch.cat(column) for column in zip(*parts, strict=True))
    counts = torch.tensor([len(part[1]) for part in parts], device=scores.device)
    words = torch.arange(len(parts), device=scores.device).repeat_interleave(counts)
    grid = (masks.shape[1], masks.shape[2])
    frame = Frame(state.size_hw, grid, grid)
    return Detections(boxes, scores, words, RawMasks(masks, scores, words, frame))
