"""One side of a picture as pieces between knots, on each of which every word's map is linear.

Cells of windows are enlarged, averaged where windows overlap, and enlarged again: along one axis
that is linear between few places, the knots. What a map is at the knots says what it is anywhere:
a pixel lies between its neighbours' values, never beyond them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NODES", "WORST", "Axis", "Tile", "remainder"]

NODES = 8  # Chebyshev nodes a piece
_LEBESGUE = 2.4  # of eight nodes: how far values at nodes can push the interpolant
WORST = 1 + _LEBESGUE**2  # the part of its largest value that any function is missed by, at most
_SIDE = 48  # pixels of a tile, at least, as far as one axis goes
_PIECE = 40  # pixels of a piece, at most: the smaller, the fewer words can win on it


@dataclass(frozen=True)
class Tile:
    """What lies between two knots: slices of the knots (the last one too), pixels and nodes."""

    knots: slice
    pixels: slice
    nodes: slice


@dataclass(frozen=True, eq=False)
class Axis:
    """One side of ``size`` pixels.

    places: (N,) the knots, in pixels, rising; the first and the last pixel are knots, and so are
    places in between where bends are far apart.
    """

    places: NDArray[np.float64]
    size: int
    device: torch.device

    @classmethod
    def of(cls, seen: Sequence[Tensor], size: int, device: torch.device) -> Axis:
        """The knots of all matrices of scaled pixels, (work, cells): where one of them bends."""
        found = [np.array([0.0, max(1, size - 1)])]
        for matrix in seen:
            work = len(matrix)
            bend = (matrix[2:] - 2 * matrix[1:-1] + matrix[:-2]).abs().amax(1) > 1e-9
            at = np.concatenate([[0], 1 + bend.nonzero()[:, 0].cpu().numpy(), [work - 1]])
            places = (at + 0.5) * size / work - 0.5
            found.append(places[(places > 0) & (places < size - 1)])
        knots = np.unique(np.concatenate(found).round(6))
        parts = np.ceil(np.diff(knots) / _PIECE).astype(int)
        pieces = zip(knots[:-1], knots[1:], parts, strict=True)
        cut = [np.linspace(low, high, n, endpoint=False) for low, high, n in pieces]
        knots = np.concatenate([*cut, knots[-1:]])
        return cls(np.arange(size, dtype=float) if 2 <= size <= len(knots) else knots, size, device)

    def at_knots(self, matrix: Tensor) -> Tensor:
        """Scaled pixels (work, cells) -> what the same maps are at the knots, (N, cells)."""
        work = len(matrix)
        places = ((self.places + 0.5) * work / self.size - 0.5).clip(0, work - 1)
        return (_between(places, work).to(matrix.device) @ matrix).float().to(self.device)

    @cached_property
    def pixels(self) -> Tensor:
        """Values at the knots -> of the pixels, (size, N)."""
        return self._from_knots(np.arange(self.size, dtype=float))

    @cached_property
    def nodes(self) -> Tensor:
        """Values at the knots -> at the nodes, (M, N)."""
        return self._from_knots(np.concatenate(self._nodes))

    @cached_property
    def smooth(self) -> Tensor:
        """Values of a smooth function at the nodes -> of the pixels, (size, M)."""
        out = torch.zeros(self.size, sum(map(len, self._nodes)), dtype=torch.float64)
        first = 0
        for nodes, start, stop in zip(
            self._nodes, self._starts[:-1], self._starts[1:], strict=True
        ):
            out[start:stop, first : first + len(nodes)] = torch.from_numpy(
                _lagrange(nodes, np.arange(start, stop, dtype=float))
            )
            first += len(nodes)
        return out.float().to(self.device)

    @cached_property
    def wide(self) -> Tensor:
        """Which pieces have fewer nodes than pixels, (N - 1,) bool."""
        return torch.from_numpy(np.diff(self._starts) > NODES).to(self.device)

    def tiles(self) -> list[Tile]:
        """Neighbouring pieces in groups of at least some pixels."""
        ends = np.cumsum([0, *map(len, self._nodes)])
        out, first = [], 0
        for last in range(1, len(self.places)):
            start, stop = self._starts[first], self._starts[last]
            if stop - start >= _SIDE or (last == len(self.places) - 1 and stop > start):
                nodes = slice(int(ends[first]), int(ends[last]))
                out.append(Tile(slice(first, last + 1), slice(int(start), int(stop)), nodes))
                first = last
        return out

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """The first pixel of each piece, and the end of the last one."""
        starts = np.ceil(self.places).astype(np.int64)
        starts[0], starts[-1] = 0, self.size
        return starts

    @cached_property
    def _nodes(self) -> list[NDArray[np.float64]]:
        """Where the nodes of each piece are: its pixels, where these are fewer."""
        turns = -np.cos((np.arange(NODES) + 0.5) * math.pi / NODES)
        out = []
        for i, (low, high) in enumerate(zip(self.places[:-1], self.places[1:], strict=True)):
            start, stop = self._starts[i : i + 2]
            many = stop - start > NODES
            out.append(
                (low + high) / 2 + (high - low) / 2 * turns
                if many
                else np.arange(start, stop, dtype=float)
            )
        return out

    def _from_knots(self, places: NDArray[np.float64]) -> Tensor:
        upper = np.searchsorted(self.places, places, side="right").clip(1, len(self.places) - 1)
        low, high = self.places[upper - 1], self.places[upper]
        return (
            _between(upper - 1 + (places - low) / (high - low), len(self.places))
            .float()
            .to(self.device)
        )


def remainder(half_y: Tensor, half_x: Tensor) -> Tensor:
    """How much of its largest value exp(f) may be missed by, between its nodes on a piece.

    half_y, half_x: half of what f, which is linear along both axes, changes by along each. The
    remainder of n Chebyshev nodes is at most max |exp(f)^(n)| / (n! 2^(n-1)) along one axis.
    """
    missed = half_x.pow(NODES) + _LEBESGUE * half_y.pow(NODES)
    return missed / float(math.factorial(NODES) * 2 ** (NODES - 1))


def _between(places: NDArray[np.float64], count: int) -> Tensor:
    """The matrix of linear interpolation at places among ``count`` values, float64."""
    lower = np.floor(places).astype(np.int64).clip(0, max(0, count - 2))
    part = places - lower
    matrix = np.zeros((len(places), count))
    rows = np.arange(len(places))
    matrix[rows, lower] += 1 - part
    matrix[rows, (lower + 1).clip(max=count - 1)] += part
    return torch.from_numpy(matrix)


def _lagrange(nodes: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix of the polynomial through the nodes, (places, nodes)."""
    out = np.ones((len(places), len(nodes)))
    for i, node in enumerate(nodes):
        for other in np.delete(nodes, i):
            out[:, i] *= (places - other) / (node - other)
    return out
