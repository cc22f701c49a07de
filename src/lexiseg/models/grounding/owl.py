"""OWLv2 (Minderer et al. 2023): a box at every patch, compared with words one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, OnDevice
from lexiseg.models._transformers import load_pretrained
from lexiseg.models.grounding.boxes import in_pixels
from lexiseg.protocols import Detections

__all__ = ["Owl"]

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_TOKENS = 16  # a text's length in training; longer ones are cut before their end token
_GREY = 0.5  # what fills a picture up to a square


@dataclass(frozen=True, eq=False)
class _State:
    features: Tensor  # (1, h, w, D)
    boxes: Tensor  # (h * w, 4) pixels
    size_hw: tuple[int, int]


class Owl(OnDevice):
    """The picture is encoded once; every word costs one product with its patches."""

    threshold = 0.1  # of transformers' examples; the paper counts all boxes, as detection does

    def __init__(self, checkpoint: Checkpoint, compute: Compute) -> None:
        from lexiseg.models.clip.tokenizer import tokenizer

        folder = checkpoint["config.json"].parent
        self.name = checkpoint.record.name
        self.sha256: Mapping[str, str] = checkpoint.sha256
        self._compute = compute
        self._model = load_pretrained("Owlv2ForObjectDetection", folder, compute, extra="grounding")
        # CLIP's; the published repositories bring no tokenizer.json.
        self._tokenizer = tokenizer(checkpoint.paths.get("tokenizer.json"))

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8]) -> _State:
        """Encode a picture (H, W, 3), and predict the box of every patch."""
        height, width = rgb.shape[:2]
        side = int(self._model.config.vision_config.image_size)
        pixels = torch.from_numpy(_square(rgb, side)).permute(2, 0, 1)[None]
        mean, std = torch.tensor(_MEAN).view(3, 1, 1), torch.tensor(_STD).view(3, 1, 1)
        pixels = ((pixels - mean) / std).to(self._compute.device, self._compute.dtype)
        features = self._model.image_embedder(pixels)[0]
        boxes = self._model.box_predictor(features.flatten(1, 2), features)[0]
        reach = float(max(height, width))
        return _State(features, in_pixels(boxes, (reach, reach), (height, width)), (height, width))

    @torch.inference_mode()
    def detect(self, state: _State, words: Sequence[str], *, threshold: float) -> Detections:
        """Return the boxes that score at least ``threshold`` for one of the words."""
        vectors = self._words(words)
        logits = self._model.class_predictor(state.features.flatten(1, 2), vectors[None])[0][0]
        best, word = logits.float().sigmoid().max(1)
        kept = best >= threshold
        return Detections(state.boxes[kept], best[kept], word[kept])

    def _words(self, words: Sequence[str]) -> Tensor:
        from lexiseg.models.clip.tokenizer import tokenise

        rows = tokenise(self._tokenizer, words, _TOKENS)
        length = max(map(len, rows))
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        device = self._compute.device
        out = self._model.owlv2.get_text_features(
            input_ids=ids.to(device), attention_mask=mask.to(device)
        )
        vectors: Tensor = getattr(out, "pooler_output", out)
        return vectors


def _square(rgb: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Fill up to a square with grey, right and below; scale as scikit-image's ``resize`` does.

    A Gaussian of (factor - 1) / 2 pixels before a bilinear look at pixel centres, borders mirrored.
    """
    import cv2

    height, width = rgb.shape[:2]
    reach = max(height, width)
    square = np.full((reach, reach, 3), _GREY, np.float32)
    square[:height, :width] = rgb.astype(np.float32) / 255
    factor = reach / side
    if factor > 1:
        sigma = (factor - 1) / 2
        radius = int(4 * sigma + 0.5)
        square = cv2.GaussianBlur(
            square, (2 * radius + 1,) * 2, sigma, borderType=cv2.BORDER_REFLECT_101
        )
    out = cv2.resize(square, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out.clip(0, 1), np.float32)
