"""The connected parts of a label map, found by its runs: neighbours in a row with the same label.

There are few runs to pixels, so all words together cost little more than one look at the map.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.stages.label_map import Labels, scored_runs

__all__ = ["connected_parts"]

Ints = NDArray[np.int64]


def connected_parts(
    labels: Labels,
    scores: NDArray[np.float16],
    words: int,
    *,
    min_area: int,
    only: Collection[int] | None = None,
) -> tuple[Masks, NDArray[np.int64], NDArray[np.float32]]:
    """Return the 8-connected parts of each word with at least ``min_area`` pixels.

    labels: (H, W), index of a word, below 0 for nothing. scores: (H, W) in [0, 1]. only: words
    whose parts are wanted; None: of all.
    Returns N masks, the word of each (N,), and the mean score inside each (N,); by word, then
    from the largest part to the smallest.
    """
    size_hw, width = (labels.shape[0], labels.shape[1]), labels.shape[1]
    start, stop, value, sums = map(np.concatenate, zip(*scored_runs(labels, scores), strict=True))
    wanted = (value >= 0) & (value < words)
    if only is not None:
        wanted &= np.isin(value, list(only))
    start, stop, value = start[wanted], stop[wanted], value[wanted]
    roots, part = np.unique(_join_runs(start, stop, value, width), return_inverse=True)
    areas = np.bincount(part, stop - start, len(roots)).astype(np.int64)
    means = np.bincount(part, sums[wanted], len(roots)) / areas.clip(1)
    kept = np.flatnonzero(areas >= min_area)
    kept = kept[np.lexsort((-areas[kept], value[roots[kept]]))]
    ends = np.append(0, np.cumsum(np.bincount(part, minlength=len(roots))))
    by_part = np.argsort(part, kind="stable")
    corners, crops = [], []
    for i in kept.tolist():
        own = by_part[ends[i] : ends[i + 1]]
        corner, crop = _crop_of_runs(start[own], stop[own], width)
        corners.append(corner)
        crops.append(crop)
    masks = Masks.from_crops(size_hw, corners, crops)
    return masks, value[roots[kept]], means[kept].astype(np.float32)


def _join_runs(start: Ints, stop: Ints, value: Ints, width: int) -> Ints:
    """The first of the runs that each one is connected with, (R,): by sides and corners."""
    below = (start // width + 1) * width  # where the next row begins
    first = np.searchsorted(stop, np.maximum(start + width - 1, below), side="right")
    behind = np.searchsorted(start, np.minimum(stop + width + 1, below + width), side="left")
    counts = behind - first
    upper = np.repeat(np.arange(len(start)), counts)
    lower = np.arange(len(upper)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    same = value[upper] == value[lower]
    upper, lower = upper[same], lower[same]
    root = np.arange(len(start))
    while len(upper):
        ends = np.stack([root[upper], root[lower]])
        apart = ends[0] != ends[1]
        upper, lower, ends = upper[apart], lower[apart], ends[:, apart]
        np.minimum.at(root, ends.max(0), ends.min(0))
        while not np.array_equal(above := root[root], root):
            root = above
    return root


def _crop_of_runs(start: Ints, stop: Ints, width: int) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """The upper left corner, x and y, of runs in a map of this width, and their mask there."""
    rows, columns = np.divmod(start, width)
    x0, y0, y1 = int(columns.min()), int(rows[0]), int(rows[-1]) + 1
    x1 = int((columns + stop - start).max())
    begin = (rows - y0) * (x1 - x0) + columns - x0
    places = np.stack([begin, begin + stop - start], 1).reshape(-1)
    lengths = np.diff(places, prepend=0, append=(y1 - y0) * (x1 - x0))
    inside = np.arange(len(lengths)) % 2 == 1
    return (x0, y0), np.repeat(inside, lengths).reshape(y1 - y0, x1 - x0)
