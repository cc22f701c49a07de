"""All good masks of words, also those that lie in one another: not the best of each point alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg.protocols import RawMasks
from lexiseg.stages.mask_agreement import GridScores, grid_iou
from lexiseg.stages.merge import mask_nms
from lexiseg.stages.prompt_decoding import ScoredMasks, concat_masks

__all__ = ["AllCandidates"]

_HALF = 0.5  # the part of a mask that its word must hold


class AllCandidates:
    """Hears all candidates, and keeps those that are good enough; `found` are the ones so far.

    quality, stability: the least, in [0, 1]; stability is the part of what is above -1 logits that
    is above 1 too, on the mask model's grid. iou: masks of a word with at least this IoU are one,
    and the one with the larger product of quality and mean probability stays.
    """

    def __init__(self, quality: float, stability: float, iou: float) -> None:
        self.found: ScoredMasks | None = None
        self._quality, self._stability, self._iou = quality, stability, iou

    def add(self, raw: RawMasks, seen: GridScores, word: NDArray[np.int64]) -> None:
        """Take what is good of candidates, asked for ``word`` (N,)."""
        inside = (raw.logits > 0) & seen.inside
        area = inside.flatten(1).sum(1)
        large, small = ((raw.logits > at).flatten(1).sum(1) for at in (-1, 1))
        asked = torch.from_numpy(word).to(raw.logits.device)
        names, which = torch.unique(asked, return_inverse=True)
        wins = (seen.labels.flatten()[None] == names[:, None]).float()
        held = (inside.flatten(1).float() @ wins.T).gather(1, which[:, None])[:, 0]
        good = (raw.quality >= self._quality) & (small >= self._stability * large)
        kept = torch.nonzero(good & (area > 0) & (held >= _HALF * area))[:, 0]
        probabilities = seen.mean_probabilities(inside[kept]).gather(1, asked[kept, None])[:, 0]
        own = word[kept.cpu().numpy()]
        none = np.full(len(own), -1, np.int64)
        new = ScoredMasks(raw[kept], own, none, none >= 0, probabilities.clamp(0, 1).cpu().numpy())
        found = new if self.found is None else concat_masks([self.found, new])
        iou = grid_iou(found.raw.logits)
        rank = found.probability * found.quality
        self.found = found[mask_nms(iou, found.word, rank, self._iou)]
