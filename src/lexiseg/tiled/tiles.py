"""Where tiles lie, and which instances of neighbours are one: union-find over what both see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import OptionError

__all__ = ["Tile", "UnionFind", "plan_tiles", "shared_pairs", "surrounding"]

_SAME = 0.5  # of the smaller one, in what both tiles see: then two instances are one
_STEP = 64  # pixels that a tile's side is a multiple of, so that blocks of files are of 16


@dataclass(frozen=True)
class Tile:
    """A tile: what is looked at, and what of it is kept, y0, x0, y1, x1 in the picture.

    row, column: its place in the grid. Kept parts lie side by side; windows of neighbours overlap.
    """

    row: int
    column: int
    window: tuple[int, int, int, int]
    kept: tuple[int, int, int, int]


def plan_tiles(size_hw: tuple[int, int], side: int) -> list[Tile]:
    """Return the tiles of a picture, row by row.

    side: of a window in pixels; three quarters of it are kept, an eighth on each side is context.
    At the picture's border a window is moved inwards, so that all are seen at one scale.
    Raises OptionError for a side that is no multiple of 64, or less than 128.
    """
    if side < 2 * _STEP or side % _STEP:
        raise OptionError(f"a tile of {side} pixels; give a multiple of {_STEP}, from {2 * _STEP}")
    spans = [_spans(length, side) for length in size_hw]
    return [
        Tile(row, column, (wy0, wx0, wy1, wx1), (ky0, kx0, ky1, kx1))
        for row, ((wy0, wy1), (ky0, ky1)) in enumerate(spans[0])
        for column, ((wx0, wx1), (kx0, kx1)) in enumerate(spans[1])
    ]


def surrounding(window: tuple[int, int, int, int], size_hw: tuple[int, int], times: int) -> Tile:
    """Return the larger tile around the middle of a window, `times` as wide, of a coarser plan."""
    side = times * max(window[2] - window[0], window[3] - window[1])
    places, spans = [], []
    for axis, length in enumerate(size_hw):
        middle = (window[axis] + window[axis + 2]) // 2
        plan = _spans(length, side)
        places.append(next(k for k, (_, kept) in enumerate(plan) if middle < kept[1]))
        spans.append(plan[places[-1]])
    (wy, ky), (wx, kx) = spans
    return Tile(places[0], places[1], (wy[0], wx[0], wy[1], wx[1]), (ky[0], kx[0], ky[1], kx[1]))


def _spans(length: int, side: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Windows and what is kept of them along one side of the picture."""
    kept, margin = side * 3 // 4, side // 8
    if length <= side:
        return [((0, length), (0, length))]
    edges = [*range(0, length, kept), length]
    if length - edges[-2] <= margin:  # a sliver, which the tile before it sees as well
        del edges[-2]
    out = []
    for start, stop in pairwise(edges):
        low = min(max(start - margin, 0), length - side)
        out.append(((low, max(low + side, stop)), (start, stop)))
    return out


class UnionFind:
    """Sets of whole numbers from 0 on, which grow together."""

    def __init__(self) -> None:
        self._parent: list[int] = []

    def __len__(self) -> int:
        return len(self._parent)

    def add(self, count: int) -> None:
        """Add so many numbers, each a set of its own."""
        self._parent += range(len(self._parent), len(self._parent) + count)

    def find(self, number: int) -> int:
        """Return the smallest number of a set."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def join(self, a: int, b: int) -> None:
        """Make one set of two."""
        a, b = self.find(a), self.find(b)
        self._parent[max(a, b)] = min(a, b)

    def roots(self) -> NDArray[np.int64]:
        """Return the smallest number of each number's set, (N,)."""
        return np.array([self.find(i) for i in range(len(self._parent))], np.int64)


def shared_pairs(
    first: NDArray[np.integer], second: NDArray[np.integer], words: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Yield the instances of two tiles that are one thing.

    first, second: (h, w), the number of the instance at each pixel that both tiles see, -1 for
    none. words: the word of each number. Two are one where they have one word and share half of
    the smaller one's pixels here.
    """
    both = (first >= 0) & (second >= 0)
    if not both.any():
        return
    a, b = first[both].astype(np.int64), second[both].astype(np.int64)
    base = int(b.max()) + 1
    keys, counts = np.unique(a * base + b, return_counts=True)
    areas = [
        dict(zip(*(v.tolist() for v in np.unique(one[one >= 0], return_counts=True)), strict=True))
        for one in (first, second)
    ]
    for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
        i, j = divmod(key, base)
        if words[i] == words[j] and count >= _SAME * min(areas[0][i], areas[1][j]):
            yield i, j
