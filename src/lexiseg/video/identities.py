"""Who is who: what is found in a key frame against what is followed, and against what was lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks

__all__ = ["LostObject", "match_by_looks", "match_by_overlap"]


@dataclass(frozen=True, eq=False)
class LostObject:
    """An object that is out of sight. feature: (D,) unit length. frame: where it was seen last."""

    id: int
    word: str
    feature: NDArray[np.float32] | None
    frame: int


def match_by_overlap(
    found: Masks,
    found_words: list[str],
    tracked: Masks,
    tracked_words: list[str],
    least: float,
) -> dict[int, int]:
    """Return found -> tracked, each at most once, the largest IoU first, of equal words only.

    least: IoU below which two are not the same.
    """
    if not len(found) or not len(tracked):
        return {}
    overlap = found.iou(tracked)
    same = np.array(found_words)[:, None] == np.array(tracked_words)[None]
    return _greedy(np.where(same, overlap, 0.0), least)


def match_by_looks(
    features: NDArray[np.float32], words: list[str], lost: list[LostObject], least: float
) -> dict[int, int]:
    """Return found -> lost, each at most once, the most alike first, of equal words only.

    features: (N, D) of what is found. least: cosine below which two are not the same.
    """
    table = np.zeros((len(words), len(lost)))
    for j, one in enumerate(lost):
        for i, word in enumerate(words):
            if one.feature is not None and word == one.word:
                table[i, j] = float(features[i] @ one.feature)
    return _greedy(table, least)


def _greedy(table: NDArray[np.floating], least: float) -> dict[int, int]:
    out: dict[int, int] = {}
    table = np.array(table, np.float64)
    while table.size:
        i, j = np.unravel_index(int(table.argmax()), table.shape)
        if table[i, j] < least or table[i, j] <= 0:
            break
        out[int(i)] = int(j)
        table[i, :] = table[:, j] = -1
    return out
