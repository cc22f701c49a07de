"""Masks of a mask model's own small grid, enlarged to the picture, straight into packed crops.

Enlarging is linear and separable. On a CPU only outlines are worked on: the picture's rows lie
between rows of the model's input, at which a mask is computed; where two of these agree, eight
pixels a byte, so do all rows between them. On a GPU whole batches are enlarged, and what comes to
the host is boxes, counts and packed crops. The box of a mask can be had without enlarging it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.masks.masks import bit_count, tighten
from lexiseg.protocols import Frame, RawMasks

__all__ = ["MaskUpsampler", "bilinear_matrix", "bilinear_taps", "upsample_masks"]

_BLOCK = 16  # cells that pixels take their values of together: a larger matrix is mostly zeros
_AT_ONCE = 1 << 26  # pixels of masks that a GPU enlarges together
_LOWEST = -1e30  # passes no threshold

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int64]
_Bits = NDArray[np.uint8]


def bilinear_taps(given: int, wanted: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return which two of ``given`` places each of ``wanted`` lies between, and how far behind the
    first, (wanted,) int64, int64 and float64.

    As torch's ``interpolate`` without aligned corners.
    """
    places = ((torch.arange(wanted, dtype=torch.float64) + 0.5) * given / wanted - 0.5).clamp_min(0)
    lower = places.long()
    return lower, (lower + 1).clamp_max(given - 1), places - lower


def bilinear_matrix(given: int, wanted: int) -> Tensor:
    """Return the same as a matrix, (wanted, given) float64."""
    lower, upper, part = bilinear_taps(given, wanted)
    matrix = torch.zeros(wanted, given, dtype=torch.float64)
    rows = torch.arange(wanted)
    matrix[rows, lower] += 1 - part
    matrix[rows, upper] += part
    return matrix


def upsample_masks(raw: RawMasks, threshold: float = 0.0) -> Masks:
    """Return the masks at the picture's size: where the enlarged logits pass ``threshold``."""
    grid_hw = (raw.logits.shape[1], raw.logits.shape[2])
    return MaskUpsampler(grid_hw, raw.frame).upsample(raw.logits, threshold)[0]


class MaskUpsampler:
    """How a grid of logits becomes masks of the picture.

    used_hw: the cells of the grid that have pixels; the others are padding.
    """

    def __init__(self, grid_hw: tuple[int, int], frame: Frame) -> None:
        self.size_hw = frame.size_hw
        self._rows, self._columns = (
            _Axis(*sizes)
            for sizes in zip(grid_hw, frame.padded_hw, frame.input_hw, frame.size_hw, strict=True)
        )
        self.used_hw = (self._rows.used, self._columns.used)

    def upsample(
        self, logits: Tensor, threshold: float = 0.0, counted: Sequence[float] = ()
    ) -> tuple[Masks, NDArray[np.int64]]:
        """Return where logits (N, h, w) pass a threshold, and how many pixels pass further ones.

        counted: C further thresholds. The counts are (N, C).
        """
        thresholds = (threshold, *counted)
        if not len(logits):
            return Masks.empty(self.size_hw), np.zeros((0, len(counted)), np.int64)
        if logits.device.type != "cpu":
            return self._upsample_on_device(logits, thresholds)
        boxes, packed, counts = [], [], []
        for one in logits.float():
            byte, top, planes = self._packed(one, thresholds)
            box, bits = tighten(planes[0], byte, top)
            boxes.append(box)
            packed.append(bits)
            counts.append([bit_count(plane) for plane in planes[1:]])
        masks = Masks(self.size_hw, np.array(boxes, np.int32), tuple(packed))
        return masks, np.array(counts, np.int64).reshape(len(logits), -1)

    def boxes(self, logits: Tensor, threshold: float = 0.0) -> NDArray[np.int32]:
        """Return the boxes of the masks that ``upsample`` gives, (N, 4), half-open; zeros if empty.

        On a CPU no mask is enlarged for it.
        """
        if logits.device.type != "cpu":
            parts = [_boxes(inside) for inside, _ in self._enlarged(logits, (threshold,))]
            return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, 4), np.int32)
        boxes = [self._edges.box(one, threshold) for one in logits.float().numpy()]
        return np.array(boxes, np.int32).reshape(-1, 4)

    @cached_property
    def _edges(self) -> _Edges:
        return _Edges(self._rows, self._columns)

    def _packed(self, logits: Tensor, thresholds: Sequence[float]) -> tuple[int, int, list[_Bits]]:
        """The picture's part that a mask (h, w) reaches: its first column of bytes, its first row,
        and the packed bits of each threshold."""
        rows, columns = self._rows, self._columns
        passes = logits > min(thresholds)
        lines = rows.reached(passes.any(1), rows.line_start, rows.line_stop)
        pixels = columns.reached(passes.any(0), columns.start, columns.stop)
        if lines.start >= lines.stop or pixels.start >= pixels.stop:
            return 0, 0, [np.zeros((0, 0), np.uint8) for _ in thresholds]
        # Pixels before the first line and behind the last one depend on their neighbours too.
        lines = slice(max(lines.start - 1, 0), min(lines.stop + 1, rows.lines))
        pixels = slice(pixels.start // 8 * 8, min(-(-pixels.stop // 8) * 8, columns.size))
        values = self._at_lines(logits, lines, pixels)
        planes = [rows.between_lines(values, lines, threshold) for threshold in thresholds]
        return pixels.start // 8, int(rows.starts[lines.start]), planes

    def _at_lines(self, logits: Tensor, lines: slice, pixels: slice) -> _Floats:
        """A mask's values at some lines, in some columns of pixels, filled to whole bytes."""
        height = lines.stop - lines.start
        width = -(-(pixels.stop - pixels.start) // 8) * 8
        part = torch.empty(height, logits.shape[1])
        for start, stop, cells, weights in self._rows.blocks(lines, lines=True):
            out = part[start - lines.start : stop - lines.start]
            torch.mm(weights, logits[cells], out=out)
        values = torch.full((height, width), _LOWEST)
        for start, stop, cells, weights in self._columns.blocks(pixels):
            out = values[:, start - pixels.start : stop - pixels.start]
            torch.mm(part[:, cells], weights.T, out=out)
        return values.numpy()

    def _enlarged(
        self, logits: Tensor, thresholds: Sequence[float]
    ) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Batches of masks, (n, H, W) bool, and how many pixels pass the further thresholds."""
        down, across = (
            torch.from_numpy(axis.dense).to(logits.device) for axis in (self._rows, self._columns)
        )
        step = max(1, _AT_ONCE // (self.size_hw[0] * self.size_hw[1]))
        for start in range(0, len(logits), step):
            values = down @ logits[start : start + step].float() @ across.T
            counts = [(values > other).flatten(1).sum(1) for other in thresholds[1:]]
            yield values > thresholds[0], counts

    def _upsample_on_device(
        self, logits: Tensor, thresholds: Sequence[float]
    ) -> tuple[Masks, NDArray[np.int64]]:
        """As ``upsample``, with two transfers: of boxes and counts, then of all crops."""
        bits, numbers = [], []
        for inside, counts in self._enlarged(logits, thresholds):
            bits += list(_pack(inside))
            numbers.append(torch.cat([_boxes(inside), *(count[:, None] for count in counts)], 1))
        table = torch.cat(numbers).cpu().numpy()
        boxes = table[:, :4].astype(np.int32)
        crops = [
            one[y0:y1, x0 // 8 : -(-x1 // 8)]
            for one, (x0, y0, x1, y1) in zip(bits, boxes.tolist(), strict=True)
        ]
        flat = torch.cat([crop.reshape(-1) for crop in crops]).cpu().numpy()
        ends = np.cumsum([crop.numel() for crop in crops])
        packed = [
            part.reshape(crop.shape)
            for part, crop in zip(np.split(flat, ends[:-1]), crops, strict=True)
        ]
        return Masks(self.size_hw, boxes, tuple(packed)), table[:, 4:]


def _boxes(inside: Tensor) -> Tensor:
    """The boxes of masks (n, H, W) bool, (n, 4) int64, half-open; zeros where one is empty."""
    ends = []
    for axis in (1, 2):  # over rows: what is in columns
        some = inside.any(axis).to(torch.uint8)
        first, behind = some.argmax(1), some.shape[1] - some.flip(1).argmax(1)
        ends.append((first, behind * some.any(1)))
    (x0, x1), (y0, y1) = ends
    return torch.stack([x0, y0, x1, y1], 1)


def _pack(inside: Tensor) -> Tensor:
    """Masks (n, H, W) bool as eight pixels a byte, the first in the highest bit."""
    whole = torch.nn.functional.pad(inside, (0, -inside.shape[2] % 8))
    worth = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=inside.device)
    return (whole.view(*whole.shape[:2], -1, 8) * worth).sum(3, dtype=torch.uint8)


class _Axis:
    """An axis of the grid and of the picture: cells, lines of the model's input, pixels.

    Interpolation is bilinear at both steps, as the SAM code has it: to the padded input, cut to
    the input, to the picture. Where the picture has fewer pixels than the input, they are the
    lines.

    start, stop: (size,) the cells that a pixel takes its value from; line_start, line_stop: the
    same of lines. starts: (lines + 1,) the first pixel at or behind a line. part: (size,) how far
    behind its line a pixel lies, towards the next one.
    """

    def __init__(self, cells: int, padded: int, given: int, size: int) -> None:
        self.cells, self.size = cells, size
        self._input = bilinear_matrix(cells, padded)[:given].numpy()
        lower, upper, _ = (taps[:given].numpy() for taps in bilinear_taps(cells, padded))
        self._before, self._behind, self._part = (t.numpy() for t in bilinear_taps(given, size))
        self.start, self.stop = lower[self._before], upper[self._behind] + 1
        self._sparse = size > given
        if self._sparse:
            self.lines, self.line_start, self.line_stop = given, lower, upper + 1
            self.starts = np.searchsorted(self._before, np.arange(given + 1))
        else:
            self.lines, self.line_start, self.line_stop = size, self.start, self.stop
            self.starts = np.arange(size + 1)

    def matrix(self, pixels: slice, cells: slice) -> _Floats:
        """The weights of cells in pixels."""
        before = self._input[self._before[pixels], cells]
        behind = self._input[self._behind[pixels], cells]
        part = self._part[pixels, None]
        return np.asarray((1 - part) * before + part * behind, np.float32)

    @property
    def used(self) -> int:
        """How many cells there are up to the last one that has weight in a pixel."""
        last = self.matrix(slice(self.size - 1, self.size), slice(0, self.cells))[0]
        return int(np.flatnonzero(last > 0)[-1]) + 1

    @cached_property
    def dense(self) -> _Floats:
        """All weights, (size, cells)."""
        return self.matrix(slice(0, self.size), slice(0, self.cells))

    def reached(self, cells: Tensor, start: _Ints, stop: _Ints) -> slice:
        """The places that any of these cells has weight in: bilinear values pass no threshold that
        none of their cells passes."""
        some = np.flatnonzero(cells.numpy())
        if not len(some):
            return slice(0, 0)
        first = int(np.searchsorted(stop, some[0], side="right"))
        return slice(first, int(np.searchsorted(start, some[-1], side="right")))

    def blocks(
        self, places: slice, *, lines: bool = False
    ) -> Iterator[tuple[int, int, slice, Tensor]]:
        """Cut pixels, or lines: start, stop, the cells that they use, and the weights of these."""
        for first, last, cells, weights in self._line_blocks if lines else self._pixel_blocks:
            start, stop = max(first, places.start), min(last, places.stop)
            if start < stop:
                yield start, stop, cells, weights[start - first : stop - first]

    @cached_property
    def _pixel_blocks(self) -> list[tuple[int, int, slice, Tensor]]:
        return [
            (first, last, cells, torch.from_numpy(self.matrix(slice(first, last), cells)))
            for first, last, cells in _cut(self.start, self.stop)
        ]

    @cached_property
    def _line_blocks(self) -> list[tuple[int, int, slice, Tensor]]:
        if not self._sparse:
            return self._pixel_blocks
        weights = torch.from_numpy(self._input.astype(np.float32))
        return [
            (first, last, cells, weights[first:last, cells])
            for first, last, cells in _cut(self.line_start, self.line_stop)
        ]

    def between_lines(self, values: _Floats, lines: slice, threshold: float) -> _Bits:
        """Values at some lines, (lines, 8 n) -> which pass a threshold at all of their pixels."""
        bits = np.packbits(values > threshold, axis=1)
        if not self._sparse:
            return bits
        starts = self.starts[lines.start : lines.stop + 1]
        counts = np.diff(starts)
        out = np.repeat(bits, counts, axis=0)
        # Where two lines have the same eight pixels, so have all rows between them.
        line, byte = np.divmod(np.flatnonzero(bits[1:] != bits[:-1]), bits.shape[1])
        eights = values.reshape(len(values), -1, 8)
        before = eights[line, byte, None]
        change = eights[line + 1, byte, None] - before
        step = np.arange(int(counts.max()))
        there = step < counts[line, None]
        rows = np.where(there, starts[line, None] + step, 0)
        part = self._part[rows, None].astype(np.float32)
        mixed = np.packbits(before + part * change > threshold, axis=2)[there, 0]
        out[(rows - starts[0])[there], np.broadcast_to(byte[:, None], rows.shape)[there]] = mixed
        return out


def _cut(start: _Ints, stop: _Ints) -> Iterator[tuple[int, int, slice]]:
    """Cut places, each of which uses cells start to stop, at about every ``_BLOCK`` cells."""
    cuts = np.searchsorted(start, np.arange(0, int(stop[-1]), _BLOCK)).tolist()
    for first, last in zip(cuts, [*cuts[1:], len(start)], strict=True):
        if first < last:
            yield first, last, slice(int(start[first]), int(stop[last - 1]))


class _Edges:
    """Finds a mask's box: the first row of pixels that it reaches lies where its first row of cells
    has weight, so a band of a cell's height is enlarged on each of the four sides."""

    def __init__(self, rows: _Axis, columns: _Axis) -> None:
        self._down = _Side(rows.dense, rows.start, rows.stop)
        self._right = _Side(columns.dense, columns.start, columns.stop)
        self._up, self._left = self._down.flipped(), self._right.flipped()

    def box(self, logits: _Floats, threshold: float) -> tuple[int, int, int, int]:
        """Return x0, y0, x1, y1 of where the enlarged logits pass ``threshold``; zeros: nowhere."""
        y0 = _first_row(logits, self._down, self._right, threshold)
        if y0 is None:
            return 0, 0, 0, 0
        y1 = _first_row(logits[::-1], self._up, self._right, threshold)
        x0 = _first_row(logits.T, self._right, self._down, threshold)
        x1 = _first_row(logits.T[::-1], self._left, self._down, threshold)
        if y1 is None or x0 is None or x1 is None:  # the last bit of a sum decides: hardly there
            return 0, 0, 0, 0
        return x0, y0, len(self._right.weights) - x1, len(self._down.weights) - y1


class _Side:
    """An axis from one side: weights (L, l) of cells in pixels. low, high: (L,) the cells that a
    pixel takes its value from. start, stop: (l,) the pixels that a cell has weight in; where it has
    none, the one does not lie before the other."""

    def __init__(self, weights: _Floats, low: _Ints, high: _Ints) -> None:
        self.weights, self.low, self.high = weights, low, high
        cells = np.arange(weights.shape[1])
        self.start = np.searchsorted(high, cells, side="right")
        self.stop = np.searchsorted(low, cells, side="right")

    def flipped(self) -> _Side:
        cells = self.weights.shape[1]
        weights = np.ascontiguousarray(self.weights[::-1, ::-1])
        return _Side(weights, cells - self.high[::-1], cells - self.low[::-1])


def _first_row(logits: _Floats, along: _Side, across: _Side, threshold: float) -> int | None:
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
        values = along.weights[start:stop, rows] @ logits[rows, columns]
        above = (values @ across.weights[left:right, columns].T > threshold).any(1)
        if above.any():
            return start + int(above.argmax())
    return None
