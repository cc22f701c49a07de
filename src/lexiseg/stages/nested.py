"""All good masks of words, also those that lie in one another: not the best of each point alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg.protocols import RawMasks
from lexiseg.stages.agree import Evidence, grid_iou
from lexiseg.stages.ask import Answers, joined
from lexiseg.stages.merge import without_duplicates

__all__ = ["Nested"]

_HALF = 0.5  # the part of a mask that its word must hold


class Nested:
    """Hears all candidates, and keeps those that are good enough; `found` are the ones so far.

    quality, stability: the least, in [0, 1]; stability is the part of what is above -1 logits that
    is above 1 too, on the mask model's grid. iou: masks of a word with at least this IoU are one,
    and the one with the larger product of quality and mean probability stays.
    """

    def __init__(self, quality: float, stability: float, iou: float) -> None:
        self.found: Answers | None = None
        self._quality, self._stability, self._iou = quality, stability, iou

    def add(self, raw: RawMasks, seen: Evidence, word: NDArray[np.int64]) -> None:
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
        chances = seen.mean_chances(inside[kept]).gather(1, asked[kept, None])[:, 0]
        own = word[kept.cpu().numpy()]
        none = np.full(len(own), -1, np.int64)
        new = Answers(raw[kept], own, none, none >= 0, chances.clamp(0, 1).cpu().numpy())
        found = new if self.found is None else joined([self.found, new])
        iou = grid_iou(found.raw.logits)
        rank = found.chance * found.quality
        self.found = found[without_duplicates(iou, found.word, rank, self._iou)]
