"""Label maps at another size, and without what scores too little."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.results import ScoreMap

__all__ = ["apply_thresholds", "resize_labels"]


def resize_labels(labels: NDArray[np.integer], size_hw: tuple[int, int]) -> NDArray[np.integer]:
    """A label map (H, W) at another size, by the pixel nearest to each centre."""
    if labels.shape == size_hw:
        return labels
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(labels.shape, size_hw, strict=True)
    )
    out: NDArray[np.integer] = labels[rows[:, None], columns]
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
