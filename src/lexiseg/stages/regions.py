"""Connected regions of a label map, and points inside them: where to ask a mask model.

A region's first point is its pole of inaccessibility, the centre of the largest circle inside it:
a centroid may lie outside a curved region. All work is linear in the pixels of the words' boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import label_boxes

__all__ = ["PointPrompts", "Regions", "find_regions", "plan_points"]

_ROOM = 0.5  # a further point needs a circle of at least this part of the first one's radius


@dataclass(frozen=True, eq=False)
class Regions:
    """R connected regions of words, by word, then from top to bottom.

    number: (H, W) int32, which region a pixel is in, -1 for none. word, area, best: (R,), the
    index of the word, pixels, and the best score inside. depth: (H, W) float32, distance to the
    nearest pixel outside the region, in pixels, at least 1; 0 outside.
    """

    number: NDArray[np.int32]
    word: NDArray[np.int64]
    area: NDArray[np.int64]
    best: NDArray[np.float32]
    depth: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.word)


@dataclass(frozen=True, eq=False)
class PointPrompts:
    """P places to ask at. points_xy: (P, 2) int64, column and row. region: (P,) int64.

    negatives_xy: (P, n, 2) int64, points of other words; negatives: (P, n) bool, which there are.
    """

    points_xy: NDArray[np.int64]
    region: NDArray[np.int64]
    negatives_xy: NDArray[np.int64]
    negatives: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.points_xy)


def find_regions(
    labels: NDArray[np.integer],
    scores: NDArray[np.floating],
    words: int,
    *,
    threshold: float,
    min_area: int,
) -> Regions:
    """Return the 8-connected regions of pixels that hold a word with at least ``threshold``.

    labels, scores: (H, W), the index of a word, below 0 for none, and its score in [0, 1]. Regions
    of fewer than ``min_area`` pixels are left out.
    """
    import cv2

    number = np.full(labels.shape, -1, np.int32)
    depth = np.zeros(labels.shape, np.float32)
    found_words: list[int] = []
    areas: list[NDArray[np.int64]] = []
    count = 0
    boxes = label_boxes(labels, np.arange(words)).tolist()
    for word, (x0, y0, x1, y1) in enumerate(boxes):
        if x0 == x1:
            continue
        part = (slice(y0, y1), slice(x0, x1))
        inside = (labels[part] == word) & (scores[part] >= threshold)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=8)
        area = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
        kept = area >= min_area
        kept[0] = False  # what is outside
        names = np.where(kept, np.cumsum(kept) - 1 + count, -1).astype(np.int32)
        if not kept.any():
            continue
        # The picture's edge ends a region as another word does.
        framed = np.pad(kept[parts].astype(np.uint8), 1)
        far = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        named = names[parts]
        own = named >= 0
        number[part][own] = named[own]
        depth[part][own] = far[own]
        areas.append(area[kept])
        found_words += [word] * int(kept.sum())
        count += int(kept.sum())
    best = np.zeros(count, np.float32)
    own = number >= 0
    np.maximum.at(best, number[own], scores[own].astype(np.float32))
    area = np.concatenate([np.zeros(0, np.int64), *areas])
    return Regions(number, np.array(found_words, np.int64), area, best, depth)


def plan_points(
    regions: Regions,
    scores: NDArray[np.floating],
    *,
    points: int = 1,
    negatives: int = 0,
    peak: bool = False,
    side: int = 0,
) -> PointPrompts:
    """Return where to ask: up to ``points`` places a region, by region.

    The first is the pole of inaccessibility, or, with ``peak``, the best-scoring pixel of the inner
    half. A further one is the centre of the largest circle that stays inside the region and meets
    no circle of the same size around the points before; it is left out where there is little room,
    so that a compact region gets one and a long one, or two things that touch, get several.
    side: besides, wherever a grid of so many points a side meets a region. negatives: for each
    place, so many nearest first points of other words' regions.
    """
    rows, columns = np.nonzero(regions.number >= 0)
    which = regions.number[rows, columns]
    depth = regions.depth[rows, columns]
    count = len(regions)
    room = _largest(depth, which, count)
    value = depth
    if peak:
        value = np.where(depth >= 0.5 * room[which], scores[rows, columns].astype(np.float32), -1)
    chosen = [_first(value, which, count)]
    open_to: NDArray[np.bool_] = np.ones(count, np.bool_)
    first_of = [np.arange(count)]
    gap = np.full(len(which), np.inf, np.float32)
    for _ in range(1, points):
        last = chosen[-1]
        step = np.hypot(rows - rows[last][which], columns - columns[last][which])
        gap = np.minimum(gap, step.astype(np.float32))
        value = np.minimum(depth, gap / 2)
        place = _first(value, which, count)
        open_to = open_to & (value[place] >= _ROOM * room)
        chosen.append(np.where(open_to, place, last))
        first_of.append(np.flatnonzero(open_to))
    firsts = chosen[0]
    met = _on_grid(rows, columns, regions.number.shape, side)
    places = np.concatenate([*(c[o] for c, o in zip(chosen, first_of, strict=True)), met])
    region = np.concatenate([*first_of, which[met]])
    order = np.argsort(region, kind="stable")
    places, region = places[order], region[order]
    points_xy = np.stack([columns[places], rows[places]], 1)
    anchors_xy = np.stack([columns[firsts], rows[firsts]], 1)
    negatives_xy, there = _nearest_others(points_xy, region, anchors_xy, regions.word, negatives)
    return PointPrompts(points_xy, region, negatives_xy, there)


def _on_grid(
    rows: NDArray[np.intp], columns: NDArray[np.intp], size_hw: tuple[int, ...], side: int
) -> NDArray[np.intp]:
    """Which of the pixels, by rows, are the points of a grid of ``side`` by ``side`` points."""
    y, x = (((np.arange(side) + 0.5) / side * size).astype(np.int64) for size in size_hw)
    wanted = np.unique(y[:, None] * size_hw[1] + x[None])
    _, out, _ = np.intersect1d(
        rows * size_hw[1] + columns, wanted, assume_unique=True, return_indices=True
    )
    return out


def _largest(
    values: NDArray[np.float32], which: NDArray[np.int32], count: int
) -> NDArray[np.float32]:
    """The largest value of each region, (R,)."""
    out = np.full(count, -np.inf, np.float32)
    np.maximum.at(out, which, values)
    return out


def _first(values: NDArray[np.float32], which: NDArray[np.int32], count: int) -> NDArray[np.intp]:
    """The first pixel that holds the largest value of each region, (R,)."""
    hits = np.flatnonzero(values == _largest(values, which, count)[which])
    out = np.zeros(count, np.intp)
    out[which[hits[::-1]]] = hits[::-1]
    return out


def _nearest_others(
    points_xy: NDArray[np.int64],
    region: NDArray[np.int64],
    anchors_xy: NDArray[np.int64],
    word: NDArray[np.int64],
    wanted: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The nearest anchors of other words for each point, (P, n, 2), and which there are, (P, n)."""
    count = min(wanted, len(anchors_xy))
    if not count or not len(points_xy):
        shape = (len(points_xy), 0)
        return np.zeros((*shape, 2), np.int64), np.zeros(shape, np.bool_)
    across = (points_xy[:, None] - anchors_xy[None]).astype(np.float64)
    distance = np.hypot(across[..., 0], across[..., 1])
    distance[word[region][:, None] == word[None]] = np.inf
    near = np.argsort(distance, axis=1, kind="stable")[:, :count]
    there = np.isfinite(np.take_along_axis(distance, near, axis=1))
    return anchors_xy[near], there
