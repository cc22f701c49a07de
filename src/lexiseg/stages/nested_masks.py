"""Wholes and their parts: of masks of one word that lie in each other, one level stays.

A mask model draws a car, its door and its window, and also three cars as one thing; a word fits all
of them. What should be an instance is the car.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks

__all__ = ["without_nested"]

# A mask made of several things: so much better rated masks cover so much of it.
_BETTER, _COVERED = 1.25, 0.5


def without_nested(
    masks: Masks,
    iou: NDArray[np.floating],
    word: NDArray[np.int64],
    rank: NDArray[np.floating],
    share: float,
) -> NDArray[np.int64]:
    """Return the masks that stay, (M,) numbers in order.

    iou: (N, N). word, rank: (N,). Of each word the largest mask comes first: the smaller ones of
    which at least ``share`` lies in it are its parts. It goes where much better ranked parts cover
    half of it; otherwise they go.
    """
    areas = masks.areas.astype(np.float64)
    common = iou / (1 + iou) * (areas[:, None] + areas)
    inside = (common >= share * areas) & (word[:, None] == word)  # [whole, part]
    left = np.ones(len(masks), np.bool_)
    order = np.argsort(-areas, kind="stable")
    for i, whole in enumerate(order.tolist()):
        if not left[whole]:
            continue
        later = order[i + 1 :]
        parts = later[inside[whole, later] & left[later]]
        better = parts[rank[parts] > _BETTER * rank[whole]]
        if len(better) and common[whole, better].sum() >= _COVERED * areas[whole]:
            covered = masks[better].union() & masks.mask(whole)
            if covered.sum() >= _COVERED * areas[whole]:
                left[whole] = False
                continue
        left[parts] = False
    return np.flatnonzero(left)
