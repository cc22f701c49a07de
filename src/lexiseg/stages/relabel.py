"""A label map after masks have been drawn: who gets what a mask has left over.

A label is released by writing ``RELEASED - word`` in its place; masks are then painted, and what
is still released is filled with the word that comes next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.results import ScoreMap
from lexiseg.stages.regions import Regions

__all__ = ["RELEASED", "apply_thresholds", "fill_released", "release", "sampled", "values_at"]

RELEASED = -2
_ROUNDING = 2e-3  # of probabilities in float16, and of their sum
_ROWS = 256  # rows of the picture that are worked on at once


def sampled(labels: NDArray[np.integer], size_hw: tuple[int, int]) -> NDArray[np.integer]:
    """A label map (H, W) at another size, by the pixel nearest to each centre."""
    if labels.shape == size_hw:
        return labels
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(labels.shape, size_hw, strict=True)
    )
    out: NDArray[np.integer] = labels[rows[:, None], columns]
    return out


def release(
    labels: NDArray[np.int16] | NDArray[np.int32], regions: Regions, handled: NDArray[np.bool_]
) -> None:
    """Release the words of handled regions, (R,) bool, in a label map (H, W), in place.

    The regions may be of a smaller copy of the map.
    """
    if not handled.any():
        return
    height = len(labels)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(regions.number.shape, labels.shape, strict=True)
    )
    # One more at the end, for what is in no region (-1).
    lost = np.append(np.where(handled, regions.word, -1), -1)
    for top in range(0, height, _ROWS):
        band = labels[top : top + _ROWS]
        word = lost[regions.number[rows[top : top + _ROWS, None], columns]]
        mine = (band == word) & (word >= 0)
        band[mine] = RELEASED - band[mine]


def fill_released(
    labels: NDArray[np.int16] | NDArray[np.int32], scores: ScoreMap, *, closed: bool
) -> None:
    """Give released pixels to the word that scores next, or to nothing, in place.

    Nothing has what the words leave of the probability; in a closed vocabulary every pixel gets a
    word, the released one where it is the only one.
    """
    for top in range(0, len(labels), _ROWS):
        band = labels[top : top + _ROWS]
        rows, columns = np.nonzero(band <= RELEASED)
        if not len(rows):
            continue
        before = (RELEASED - band[rows, columns]).astype(np.intp)
        chances = values_at(scores, rows + top, columns)
        rest = 1 - chances.sum(0)
        chances[before, np.arange(len(rows))] = -1
        after = chances.argmax(0)
        best = chances[after, np.arange(len(rows))]
        if closed:
            after = np.where(best < 0, before, after)
        else:
            after = np.where(best > np.maximum(rest, _ROUNDING), after, -1)
        band[rows, columns] = after


def values_at(
    scores: ScoreMap, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> NDArray[np.float32]:
    """The probability of each word at n pixels of the picture, (K, n) float32, bilinear."""
    h, w = scores.grid.shape[1:]
    y = ((rows + 0.5) * h / scores.size_hw[0] - 0.5).clip(0, h - 1)
    x = ((columns + 0.5) * w / scores.size_hw[1] - 0.5).clip(0, w - 1)
    y0, x0 = y.astype(np.intp), x.astype(np.intp)
    y1, x1 = np.minimum(y0 + 1, h - 1), np.minimum(x0 + 1, w - 1)
    down, right = (y - y0).astype(np.float32), (x - x0).astype(np.float32)
    grid = scores.grid
    upper = grid[:, y0, x0] * (1 - right) + grid[:, y0, x1] * right
    lower = grid[:, y1, x0] * (1 - right) + grid[:, y1, x1] * right
    out: NDArray[np.float32] = (upper * (1 - down) + lower * down).astype(np.float32)
    return out


def apply_thresholds(
    labels: NDArray[np.int16] | NDArray[np.int32],
    scores: ScoreMap,
    limits: NDArray[np.floating],
    sure: Masks,
) -> None:
    """Take the word from pixels that score less than its limit, (K,), in place.

    Pixels under ``sure`` masks keep theirs.
    """
    if not limits.any():
        return
    safe = sure.union()
    for word in np.flatnonzero(limits).tolist():
        weak = scores.full(word) < limits[word]
        labels[weak & (labels == word) & ~safe] = -1
