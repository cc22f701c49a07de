"""Which words compete on a photo, and which of them is right at its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.training.tiny.negatives import NamedSet, NegativeSampling, find_negatives
from lexiseg.training.tiny.words import WordBank

__all__ = ["Queries", "QuerySampler"]


@dataclass(frozen=True, eq=False)
class Queries:
    """The words that compete on B photos, and what is right at P points of each.

    words: (B, C) bool, of the bank's first C words. background: (B,) bool, whether the background
    words compete too, as one. targets: (B, P), the right word; C where it is the background, -1
    where nobody knows. tolerated: (B, C) bool, words that do not compete where the background is
    right, which may show them unlabelled.
    """

    words: Tensor
    background: Tensor
    targets: Tensor
    tolerated: Tensor | None = None


class QuerySampler:
    """Draws the words that compete on photos of several data sets."""

    def __init__(
        self, bank: WordBank, sets: Sequence[NamedSet], negatives: NegativeSampling,
        subset_share: float, device: torch.device | None = None,
    ) -> None:  # fmt: skip
        """bank: on the CPU. sets: of the bank, in its order. subset_share: of the photos, on which
        only a part of the words competes, and the other classes belong to the background.
        """
        self._how, self._subset_share, self._count = negatives, subset_share, bank.num_named
        self.negatives = find_negatives(bank, sets, negatives)
        rows = torch.full((len(sets), 256), -1)  # class index -> row
        own = torch.zeros(len(sets), bank.num_named, dtype=torch.bool)
        background = torch.full((len(sets),), -1)  # row of the class that stands for the rest
        for s, one in enumerate(bank.sets):
            rows[s, : len(one.rows)] = one.rows
            own[s, one.rows] = True
            if one.background_index is not None:
                background[s] = one.rows[one.background_index]
                own[s, background[s]] = False
        self._rows, self._own, self._background = (x.to(device) for x in (rows, own, background))
        tables = (self.negatives.candidates, self.negatives.bodies, self.negatives.living)
        self._candidates, self._bodies, self._living = (x.to(device) for x in tables)

    def draw(self, sets: Tensor, labels: Tensor, rng: np.random.Generator) -> Queries:
        """Return what competes on photos of these data sets, (B,), with these labels, (B, P).

        labels: class indices, 255 where nobody knows.
        """
        batch, device = len(sets), labels.device

        def below(limits: float | NDArray[np.float64], *shape: int) -> Tensor:
            return torch.from_numpy(rng.random(shape) < limits).to(device)

        own = self._own[sets]
        subset = below(self._subset_share, batch)
        kept = below(rng.uniform(0.1, 0.9, (batch, 1)), batch, self._count)
        words = torch.where(subset[:, None], own & kept, own)
        words = torch.where(words.any(1, keepdim=True), words, own)
        living = self._living[sets].gather(1, labels).any(1)
        possible = self._candidates[sets] & ~(self._bodies & living[:, None])
        share = np.where(rng.random((batch, 1)) < self._how.share, self._how.max_fraction, 0.0)
        words = words | (possible & below(share * rng.random((batch, 1)), batch, self._count))
        background = self._background[sets]
        open_ended = (background >= 0) | subset
        rows = self._rows[sets].gather(1, labels)
        right = words.gather(1, rows.clamp(min=0)) & (rows >= 0) & (rows != background[:, None])
        others = torch.where(open_ended, self._count, -1)[:, None]
        targets = torch.where(right, rows, torch.where(rows >= 0, others, -1))
        return Queries(words, open_ended & (own.any(1)), targets)
