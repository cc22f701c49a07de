"""Label maps at another size, and without what scores too little."""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.results import ScoreMap

__all__ = ["Labels", "apply_thresholds", "map_labels", "resize_labels"]

Scalar = TypeVar("Scalar", bound=np.generic)
Labels = NDArray[np.int16] | NDArray[np.int32]


def resize_labels(labels: NDArray[Scalar], size_hw: tuple[int, int]) -> NDArray[Scalar]:
    """Return a map (H, W) at another size, by the pixel nearest to each centre."""
    if labels.shape == size_hw:
        return labels
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(labels.shape, size_hw, strict=True)
    )
    out: NDArray[Scalar] = labels[rows[:, None], columns]
    return out


def apply_thresholds(
    labels: NDArray[np.int16] | NDArray[np.int32],
    scores: ScoreMap,
    limits: NDArray[np.floating],
    sure: Masks,
) -> NDArray[np.int16] | NDArray[np.int32]:
    """Return a label map without the pixels that score less than their word's limit, (K,).

    Pixels under ``sure`` masks keep theirs.
    """
    if not limits.any():
        return labels
    labels, safe = labels.copy(), sure.union()
    for word in np.flatnonzero(limits).tolist():
        weak = scores.full(word) < limits[word]
        labels[weak & (labels == word) & ~safe] = -1
    return labels


def map_labels(labels: Labels, values: NDArray[np.integer]) -> Labels:
    """Return a label map (H, W) with the value (N,) of each label; -1 reads the last value."""
    return cast(Labels, values.astype(labels.dtype)[labels])
