"""The box of a mask at the picture's size, known before the mask is enlarged.

The first row of pixels that a mask reaches lies where its first row of cells has weight, so a band
of a cell's height is enlarged on each of the four sides, and nothing in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["UpsampledBoxes"]

_Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Axis:
    """A matrix (L, l) from cells to pixels. start, stop: (l,) the pixels a cell has weight in.
    low, high: (L,) the cells that a pixel takes its value from."""

    matrix: _Floats
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @classmethod
    def of(cls, matrix: _Floats) -> _Axis:
        weighs = matrix > 0
        spans = []
        for axis in (0, 1):
            size, some = weighs.shape[axis], weighs.any(axis)
            spans.append(np.where(some, weighs.argmax(axis), 0))
            spans.append(np.where(some, size - np.flip(weighs, axis).argmax(axis), 0))
        return cls(matrix, *spans)

    def flipped(self) -> _Axis:
        return _Axis.of(np.ascontiguousarray(self.matrix[::-1, ::-1]))


class UpsampledBoxes:
    """Boxes of masks that one pair of matrices enlarges: ``mask_upsampling.axes``.

    grid_hw: the cells of a grid that the picture fills; the rest is padding.
    """

    def __init__(self, vertical: _Floats, level: _Floats) -> None:
        # Cells of padding, behind those of the picture, have no pixels.
        rows, columns = (int(np.flatnonzero((m > 0).any(0))[-1]) + 1 for m in (vertical, level))
        self.grid_hw = (rows, columns)
        down, right = _Axis.of(vertical[:, :rows]), _Axis.of(level[:, :columns])
        self._down, self._up = down, down.flipped()
        self._right, self._left = right, right.flipped()

    def box(self, logits: _Floats, threshold: float = 0.0) -> tuple[int, int, int, int] | None:
        """Return x0, y0, x1, y1 (half-open) of where the enlarged logits, (h, w), pass
        ``threshold``; None where they pass it nowhere."""
        height, width = len(self._down.matrix), len(self._right.matrix)
        logits = logits[: self.grid_hw[0], : self.grid_hw[1]]
        y0 = _first(logits, self._down, self._right, threshold)
        if y0 is None:
            return None
        y1 = _first(logits[::-1], self._up, self._right, threshold)
        x0 = _first(logits.T, self._right, self._down, threshold)
        x1 = _first(logits.T[::-1], self._left, self._down, threshold)
        if y1 is None or x0 is None or x1 is None:  # the last bit of a sum decides: hardly there
            return None
        return x0, y0, width - x1, height - y1


def _first(logits: _Floats, along: _Axis, across: _Axis, threshold: float) -> int | None:
    """The first row of pixels with a value above the threshold."""
    passes = logits > threshold
    done = 0
    for row in np.flatnonzero(passes.any(1)).tolist():
        start, stop = max(done, int(along.start[row])), int(along.stop[row])
        if start >= stop:
            continue
        done = stop
        rows = slice(int(along.low[start]), int(along.high[stop - 1]))
        # No pixel passes that takes nothing from a cell that does.
        cells = np.flatnonzero(passes[rows].any(0))
        left, right = int(across.start[cells[0]]), int(across.stop[cells[-1]])
        if left >= right:
            continue
        columns = slice(int(across.low[left]), int(across.high[right - 1]))
        values = along.matrix[start:stop, rows] @ logits[rows, columns]
        found = (values @ across.matrix[left:right, columns].T > threshold).any(1)
        if found.any():
            return start + int(found.argmax())
    return None
