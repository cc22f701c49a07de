"""Outlines of masks along the edges of their pixels, and the pixels inside outlines.

Corners are whole numbers, (0, 0) being the upper left corner of the picture, so that pixel x, y is
the square from (x, y) to (x + 1, y + 1) and its centre lies at (x + 0.5, y + 0.5). What has its
centre inside is in the mask: such outlines come back exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexiseg.masks import Masks

__all__ = ["Outline", "fill_even_odd", "outlines", "outlines_of"]

_EAST, _SOUTH, _WEST, _NORTH = range(4)
Ring = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Outline:
    """A part of a mask, connected by the sides of its pixels.

    exterior: (C, 2) corners x, y, clockwise on the screen, not closed. holes: the same, the other
    way round. No ring touches itself; rings touch each other in corners at most, as OGC's simple
    features ask of polygons.
    """

    exterior: Ring
    holes: tuple[Ring, ...]


def outlines(masks: Masks, i: int) -> list[Outline]:
    """Return the outlines of mask i, in pixels of the picture."""
    x0, y0, _, _ = masks.boxes_xyxy[i].tolist()
    return outlines_of(masks.crop(i), x0, y0)


def outlines_of(crop: NDArray[np.bool_], x0: int = 0, y0: int = 0) -> list[Outline]:
    """Return the outlines of a mask, (h, w) bool, whose first pixel lies at x0, y0."""
    import cv2

    if not crop.any():
        return []
    starts, following = _runs(crop)
    _, parts = cv2.connectedComponents(crop.view(np.uint8), connectivity=4)
    exteriors: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = defaultdict(list)
    for ring in _simple_rings(starts, following):
        corners = np.array(ring, np.int64)
        # The pixel right of its first edge is in the mask.
        (xa, ya), (xb, yb) = ring[0], ring[1]
        if ya == yb:
            pixel = (ya, xa) if xb > xa else (ya - 1, xa - 1)
        else:
            pixel = (ya, xa - 1) if yb > ya else (ya - 1, xa)
        part = int(parts[pixel])
        placed = np.add(corners, (x0, y0))
        if _doubled_area(corners) > 0:
            exteriors[part] = placed
        else:
            holes[part].append(placed)
    return [Outline(ring, tuple(holes[part])) for part, ring in exteriors.items()]


def _runs(crop: NDArray[np.bool_]) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the straight runs of the outline: where each starts, and which run follows it.

    Runs have the mask on their right. Where two pixels touch in a corner only, the way goes on
    around the same pixel.
    """
    height, width = crop.shape
    framed = np.zeros((height + 2, width + 2), np.bool_)
    framed[1:-1, 1:-1] = crop
    inside, above, left = framed[1:, 1:], framed[:-1, 1:], framed[1:, :-1]
    pieces = [
        _of_lines(inside & ~above, _EAST),
        _of_lines((left & ~inside).T, _SOUTH),
        _of_lines(above & ~inside, _WEST),
        _of_lines((inside & ~left).T, _NORTH),
    ]
    start = np.concatenate([piece[0] for piece in pieces])
    stop = np.concatenate([piece[1] for piece in pieces])
    way = np.repeat(np.arange(4), [len(piece[0]) for piece in pieces])
    corners = (height + 1) * (width + 1)

    def place(points: NDArray[np.int64], direction: NDArray[np.int64]) -> NDArray[np.int64]:
        out: NDArray[np.int64] = direction * corners + points[:, 1] * (width + 1) + points[:, 0]
        return out

    key = place(start, way)
    order = np.argsort(key)
    ranked = key[order]

    def find(direction: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        wanted = place(stop, direction)
        at = np.minimum(np.searchsorted(ranked, wanted), len(ranked) - 1)
        return order[at], ranked[at] == wanted

    right, there = find((way + 1) % 4)
    other, _ = find((way + 3) % 4)
    following: list[int] = np.where(there, right, other).tolist()
    return [tuple(point) for point in start.tolist()], following


def _of_lines(edges: NDArray[np.bool_], way: int) -> tuple[Ring, Ring]:
    """Return where the runs of edges start and stop, (R, 2) each; a line of edges is a row."""
    framed = np.zeros((edges.shape[0], edges.shape[1] + 1), np.int8)
    framed[:, 1:] = edges
    framed = np.concatenate([framed, np.zeros((len(framed), 1), np.int8)], axis=1)
    change = np.diff(framed, axis=1)
    line, low = np.nonzero(change == 1)
    _, high = np.nonzero(change == -1)
    if way in (_EAST, _WEST):
        ends = np.stack([low, line], axis=1), np.stack([high, line], axis=1)
    else:
        ends = np.stack([line, low], axis=1), np.stack([line, high], axis=1)
    return ends if way in (_EAST, _SOUTH) else ends[::-1]


def _simple_rings(
    starts: list[tuple[int, int]], following: list[int]
) -> Iterable[list[tuple[int, int]]]:
    """Yield the closed ways along runs, cut wherever one comes by a corner again."""
    seen = bytearray(len(starts))
    for first in range(len(starts)):
        if seen[first]:
            continue
        way: list[tuple[int, int]] = []
        place: dict[tuple[int, int], int] = {}
        run = first
        while not seen[run]:
            seen[run] = 1
            corner = starts[run]
            if corner in place:
                cut = place[corner]
                yield way[cut:]
                for other in way[cut:]:
                    del place[other]
                del way[cut:]
            place[corner] = len(way)
            way.append(corner)
            run = following[run]
        yield way


def _doubled_area(corners: Ring) -> int:
    """Twice the area, positive for rings that go clockwise on the screen."""
    x, y = corners[:, 0], corners[:, 1]
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def fill_even_odd(
    rings: Iterable[ArrayLike], size_hw: tuple[int, int]
) -> tuple[NDArray[np.bool_], int, int]:
    """Return the pixels whose centre is inside an odd number of rings: a crop, and its x0, y0.

    rings: (C, 2) corners x, y each, of any numbers, closed or not; they may leave the picture. A
    centre on an edge is inside where the edge is a left or an upper one.
    """
    height, width = size_hw
    closed = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in rings]
    closed = [ring for ring in closed if len(ring) > 2]
    if not closed:
        return np.zeros((0, 0), np.bool_), 0, 0
    a = np.concatenate(closed)
    b = np.concatenate([np.roll(ring, -1, axis=0) for ring in closed])
    low, high = np.minimum(a[:, 1], b[:, 1]), np.maximum(a[:, 1], b[:, 1])
    # Rows whose centre lies in [low, high), columns from the first whose centre is not left.
    first = np.clip(np.ceil(low - 0.5), 0, height).astype(np.int64)
    stop = np.clip(np.ceil(high - 0.5), 0, height).astype(np.int64)
    counts = stop - first
    edge = np.repeat(np.arange(len(a)), counts)
    if not len(edge):
        return np.zeros((0, 0), np.bool_), 0, 0
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    slope = (b[edge, 0] - a[edge, 0]) / (b[edge, 1] - a[edge, 1])
    x = a[edge, 0] + (row + 0.5 - a[edge, 1]) * slope
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    x0, y0 = int(column.min()), int(row.min())
    crossings = np.zeros((int(row.max()) + 1 - y0, int(column.max()) + 1 - x0), np.int32)
    np.add.at(crossings, (row - y0, column - x0), 1)
    return np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1, x0, y0
