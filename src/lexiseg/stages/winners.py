"""The winning word of every pixel, from logits of windows: in tiles, never all words at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.stages.dense import LabelMap, WordVectors
from lexiseg.stages.sliding import Windows, logits

__all__ = ["Rules", "grid_probabilities", "winners"]

_TILE_VALUES = 8_000_000  # floats that are held at once (32 MB)
_ROWS, _COLUMNS = 128, 256  # pixels of a tile, where words are few


@dataclass(frozen=True)
class Rules:
    """How logits become labels.

    scale: what cosines are multiplied with before the softmax over all queries.
    thresholds: (O,) in [0, 1]; a pixel whose winner scores less gets no word.
    area: words that win at most this part of the pixels that words other than the background win
        lose them all to the next best (SCLIP's ``area_thd``).
    refine: takes logits at the picture's size, (C, H, W), and returns better ones (PAMR).
    """

    scale: float
    thresholds: NDArray[np.float32] | None = None
    area: float = 0.0
    refine: Callable[[Tensor], Tensor] | None = None


def winners(seen: Sequence[Windows], words: WordVectors, rules: Rules) -> LabelMap:
    """Label every pixel with the owner of the best query; several scales are averaged.

    An owner's score is the largest softmax probability of its queries, so its winner is the owner
    of the query with the largest logit: neither needs all words' maps at once.
    """
    maps = [logits(one, words.vectors) for one in seen]
    found = _label(seen, maps, words, rules, torch.ones_like(words.owners, dtype=torch.bool))
    if rules.area > 0 and words.background is not None:
        counts = np.bincount(found.owner.reshape(-1).astype(np.int64), minlength=words.count)
        counts[words.background] = 0
        small = (counts <= rules.area * counts.sum()) & (counts > 0)
        if small.any():
            dropped = torch.from_numpy(small).to(words.owners.device)[words.owners]
            found = _label(seen, maps, words, rules, ~dropped)
    if rules.thresholds is not None:
        found.owner[found.score < rules.thresholds[found.owner]] = -1
    return LabelMap(found.owner, found.score.astype(np.float16))


def grid_probabilities(seen: Sequence[Windows], words: WordVectors, scale: float) -> Tensor:
    """The probability of each owner on the first scale's grid, (O, h, w) float32."""
    size = seen[0].grid_hw
    total = sum(_part(logits(one, words.vectors), *one.to_size(size)) for one in seen)
    probabilities = (scale / len(seen) * torch.as_tensor(total)).softmax(0)
    out = probabilities.new_zeros(words.count, *size)
    order = words.owners[:, None, None].expand_as(probabilities)
    return out.scatter_reduce_(0, order, probabilities, "amax")


@dataclass(frozen=True)
class _Found:
    owner: NDArray[np.int16] | NDArray[np.int32]
    score: NDArray[np.float32]


def _label(
    seen: Sequence[Windows], maps: Sequence[Tensor], words: WordVectors, rules: Rules, alive: Tensor
) -> _Found:
    height, width = seen[0].size_hw
    kind = np.int16 if words.count < 2**15 else np.int32
    owner = np.empty((height, width), kind)
    score = np.empty((height, width), np.float32)
    count = len(words.owners)
    for rows, columns in _tiles(height, width, whole=rules.refine is not None):
        pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
        at_once = max(1, _TILE_VALUES // pixels)
        tally = _Tally(rules.scale)
        for start in range(0, count, at_once):
            part = slice(start, start + at_once)
            total = sum(
                _part(one[part], vertical[rows], level[columns])
                for one, (vertical, level) in zip(maps, (s.to_picture for s in seen), strict=True)
            )
            values = torch.as_tensor(total) / len(seen)
            if rules.refine is not None:
                values = rules.refine(values)
            tally.add(values, words.owners[part], alive[part])
        owner[rows, columns] = tally.owner.cpu().numpy().astype(kind)
        score[rows, columns] = tally.score.cpu().numpy()
    return _Found(owner, score)


def _part(maps: Tensor, vertical: Tensor, level: Tensor) -> Tensor:
    """Maps of cells (Q, y, x) -> maps of the pixels of both matrices' rows, (Q, h, w).

    A part of the picture is made of few cells: the others' columns are zeros, and are left out.
    """
    ys, xs = (_used(matrix) for matrix in (vertical, level))
    return vertical[:, ys] @ maps[:, ys][:, :, xs] @ level[:, xs].T


def _used(matrix: Tensor) -> Tensor:
    return matrix.any(0).nonzero()[:, 0]


def _tiles(height: int, width: int, *, whole: bool) -> Iterator[tuple[slice, slice]]:
    if whole:
        yield slice(0, height), slice(0, width)
        return
    for top in range(0, height, _ROWS):
        for left in range(0, width, _COLUMNS):
            bottom, right = min(top + _ROWS, height), min(left + _COLUMNS, width)
            yield slice(top, bottom), slice(left, right)


class _Tally:
    """The best query so far, and the softmax's sum over all queries so far."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._best: Tensor | None = None
        self._total: Tensor | None = None
        self.owner = torch.empty(0)

    def add(self, values: Tensor, owners: Tensor, alive: Tensor) -> None:
        """Count in logits (Q, h, w) and their owners; dead queries count in the sum alone."""
        total = (self._scale * values).logsumexp(0)
        if not bool(alive.all()):
            values = values.masked_fill(~alive[:, None, None], -torch.inf)
        best, who = values.max(0)
        owner = owners[who]
        if self._best is None or self._total is None:
            self._best, self._total, self.owner = best, total, owner
            return
        self._total = torch.logaddexp(self._total, total)
        self.owner = torch.where(best > self._best, owner, self.owner)
        self._best = torch.maximum(self._best, best)

    @property
    def score(self) -> Tensor:
        if self._best is None or self._total is None:
            raise ValueError("no query was counted; give at least one word")
        return (self._scale * self._best - self._total).exp().clamp_(0, 1)
