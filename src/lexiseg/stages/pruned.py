"""The winning query of every pixel, without looking at all queries everywhere.

A pixel's logit is a mean of those at the knots around it (``stages.knots``), so a word that is
below another's lowest knot at all its own knots cannot win between them. Tiles of the picture look
at the words that can; the others count in the softmax's sum alone, which is smooth, and so is
computed at few nodes and interpolated. What is missed of the sum has a proven bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.stages.clip_windows import Windows, logits
from lexiseg.stages.dense import WordVectors
from lexiseg.stages.knots import WORST, Axis, Tile, remainder

__all__ = ["ERROR", "Found", "pruned"]

ERROR = 1e-4  # the part of the softmax's sum that may be missed; of a score, at most as much
_VALUES = 2_000_000  # floats that are held at once (8 MB)
_ROUNDING = 1e-6  # by which the same logit may differ when it is computed in another order
_STEEP = 20.0  # nats of a hull above the best word, from which sums are not interpolated
_TINY = 1e-38


@dataclass(frozen=True)
class Found:
    """The winner of every pixel, (H, W) int16 or int32, and its score, (H, W) in [0, 1]."""

    class_id: NDArray[np.int16] | NDArray[np.int32]
    score: NDArray[np.float32]

    @classmethod
    def empty(cls, size_hw: tuple[int, int], count: int) -> Found:
        """Room for a picture's size and ``count`` class_ids."""
        score = np.empty(size_hw, np.float32)
        if count < 2**15:
            return cls(np.empty(size_hw, np.int16), score)
        return cls(np.empty(size_hw, np.int32), score)


def pruned(seen: Sequence[Windows], words: WordVectors, scale: float, alive: Tensor) -> Found:
    """Label every pixel with the class of the best of the ``alive`` queries, (Q,) bool.

    Its score is that query's part of the softmax over all queries, the others too.
    """
    found = Found.empty(seen[0].size_hw, words.count)
    maps = [logits(one, words.vectors) for one in seen]
    scaled = [one.to_work for one in seen]
    vertical, level = (
        Axis.of([pair[i] for pair in scaled], seen[0].size_hw[i], maps[0].device) for i in (0, 1)
    )
    downs = [vertical.at_knots(pair[0]) / len(seen) for pair in scaled]
    acrosses = [level.at_knots(pair[1]).T for pair in scaled]
    columns = level.tiles()
    for rows in vertical.tiles():
        band = torch.zeros((), device=maps[0].device)
        for one, down, across in zip(maps, downs, acrosses, strict=True):
            some = down[rows.knots]
            near = some.any(0).nonzero()[:, 0]  # the other cells are not felt here
            band = some[:, near] @ one[:, near] @ across + band
        hull = band.amax(0)
        roles = _Roles.of(
            band, hull, alive, scale, vertical.wide[rows.knots][: band.shape[1] - 1], level.wide
        )
        for tile, parts in zip(columns, roles.of_tiles(columns), strict=True):
            place = _Place(vertical, level, rows, tile, scale)
            values = band[:, :, tile.knots], hull[:, tile.knots]
            for lines, who, score in place.label(*values, *parts, alive):
                found.class_id[lines, tile.pixels] = words.class_ids[who].cpu().numpy()
                found.score[lines, tile.pixels] = score.cpu().numpy()
    return found


@dataclass(frozen=True, eq=False)
class _Place:
    """A tile of the picture, and the softmax's scale."""

    vertical: Axis
    level: Axis
    rows: Tile
    columns: Tile
    scale: float

    def label(
        self, values: Tensor, hull: Tensor, rivals: Tensor, exact: Tensor, smooth: Tensor,
        alive: Tensor,
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:  # fmt: skip
        """Rows of pixels, and the winning query and its score there, both (rows, columns).

        values: (Q, knots, knots); hull: the largest of them. rivals, exact, smooth: ``_Roles``.
        """
        rest = self._smooth_sum(values[smooth], hull) if len(smooth) else None
        across = self.level.pixels[self.columns.pixels, self.columns.knots].T
        dead = ~alive[rivals]
        some_dead = bool(dead.any())
        pixels, count = self.rows.pixels, len(rivals) + len(exact)
        step = max(1, _VALUES // (count * across.shape[1]))
        for top in range(pixels.start, pixels.stop, step):
            lines = slice(top, min(top + step, pixels.stop))
            down = self.vertical.pixels[lines, self.rows.knots]
            logits = down @ values[rivals] @ across
            summit = None
            if some_dead:
                summit = logits.amax(0)
                best, who = logits.masked_fill(dead[:, None, None], -torch.inf).max(0)
            else:
                best, who = logits.max(0)
                summit = best
            mass = logits.sub_(summit).mul_(self.scale).exp_().sum(0)
            if len(exact):
                logits = down @ values[exact] @ across
                mass += logits.sub_(summit).mul_(self.scale).exp_().sum(0)
            if rest is not None:
                over = (down @ hull @ across).sub_(summit).mul_(self.scale)
                mass += over.add_(rest[top - pixels.start : lines.stop - pixels.start]).exp_()
            yield lines, rivals[who], ((best - summit) * self.scale).exp_().div_(mass)

    def _smooth_sum(self, values: Tensor, hull: Tensor) -> Tensor:
        """The logarithm of the sum of exp(scale * (logit - hull)), (pixels, pixels)."""
        down = self.vertical.nodes[self.rows.nodes, self.rows.knots]
        across = self.level.nodes[self.columns.nodes, self.columns.knots].T
        over = down @ hull @ across
        nodes = torch.zeros_like(over)
        step = max(1, _VALUES // nodes.numel())
        for start in range(0, len(values), step):
            logits = down @ values[start : start + step] @ across
            nodes += logits.sub_(over).mul_(self.scale).exp_().sum(0)
        down = self.vertical.smooth[self.rows.pixels, self.rows.nodes]
        across = self.level.smooth[self.columns.pixels, self.columns.nodes].T
        return (down @ nodes @ across).clamp_min_(_TINY).log_()


@dataclass(frozen=True)
class _Roles:
    """What a band of the picture needs of each query, piece by piece, each (Q, pieces) bool.

    rivals: may win, or may be above all winners. exact: not smooth enough to be interpolated.
    felt: their part of the sum is not negligible.
    """

    rivals: NDArray[np.bool_]
    exact: NDArray[np.bool_]
    felt: NDArray[np.bool_]

    @classmethod
    def of(
        cls, band: Tensor, hull: Tensor, alive: Tensor, scale: float, tall: Tensor, wide: Tensor
    ) -> _Roles:
        """From the queries' logits at the knots of a band, (Q, knots, N).

        hull: the largest, (knots, N). alive: which may win. tall, wide: which pieces are
        interpolated, of either axis.
        """
        lowest = -_corners(-band)
        floor = torch.where(alive[:, None, None], lowest, -torch.inf).amax(0)
        over = torch.where(alive[:, None, None], floor, lowest.amax(0))
        rivals = _corners(band) >= over - _ROUNDING

        below = (band - hull).mul_(scale)
        gap = _corners(-below).amin(0)  # at most so far is the hull above the best word
        share = (_corners(below) + gap).exp_()  # at most so much of the sum is a word's
        half_y = below.diff(dim=1).abs_().div_(2)
        half_x = below.diff(dim=2).abs_().div_(2)
        half_y = torch.maximum(half_y[:, :, :-1], half_y[:, :, 1:]) * tall[:, None]
        half_x = torch.maximum(half_x[:, :-1], half_x[:, 1:]) * wide
        missed = torch.where(gap < _STEEP, remainder(half_y, half_x), WORST).clamp_max_(WORST)
        least = ERROR / len(band)
        felt = WORST * share > least
        exact = share * missed > least
        return cls(*(one.any(1).cpu().numpy() for one in (rivals, exact, felt)))

    def of_tiles(self, tiles: Sequence[Tile]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The rivals of each tile, then the exact and the smooth queries, each named once."""
        starts = [tile.knots.start for tile in tiles]
        rivals, exact, felt = (
            np.logical_or.reduceat(one, starts, axis=1)
            for one in (self.rivals, self.exact, self.felt)
        )
        exact &= ~rivals
        felt &= ~rivals & ~exact
        return [
            (_places(rivals[:, i]), _places(exact[:, i]), _places(felt[:, i]))
            for i in range(len(tiles))
        ]


def _corners(values: Tensor) -> Tensor:
    """The largest at the four corners of each piece, (Q, y, x) -> (Q, y - 1, x - 1)."""
    pairs = torch.maximum(values[:, :-1], values[:, 1:])
    return torch.maximum(pairs[:, :, :-1], pairs[:, :, 1:])


def _places(flags: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(np.flatnonzero(flags))
