"""Confidence intervals over photos: draw the photos again, with replacement, many times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.metrics.confusion import ConfusionMatrix

__all__ = ["draw_weights", "interval", "resample", "resample_iou"]

Floats = NDArray[np.float64]


def draw_weights(photos: int, *, samples: int = 1000, seed: int = 0) -> NDArray[np.int64]:
    """Return how often each photo is in each resampled set, (S, N); every row sums to N."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(photos, np.full(photos, 1 / photos), size=samples)


def resample(
    part: NDArray[np.int64], whole: NDArray[np.int64], weights: NDArray[np.int64]
) -> Floats:
    """Return sum(part) / sum(whole) of each resampled set, (S, ...); NaN where `whole` is 0.

    `part` and `whole` are counts by photo, (N, ...); `weights` come from `draw_weights`.
    """
    draws = weights.astype(np.float64)  # float products use BLAS; counts stay exact below 2**53
    top = np.tensordot(draws, part.astype(np.float64), axes=1)
    bottom = np.tensordot(draws, whole.astype(np.float64), axes=1)
    out: Floats = np.full(np.shape(top), np.nan)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out


def resample_iou(matrix: ConfusionMatrix, weights: NDArray[np.int64]) -> Floats:
    """Return each class's IoU in each resampled set, (S, C)."""
    hits = matrix.hits()
    union = matrix.truth_areas() + matrix.predicted_areas()[:, : matrix.num_classes] - hits
    return resample(hits, union, weights)


def interval(values: Floats, coverage: float = 0.95) -> Floats:
    """Return the central interval of resampled values (S, ...), (2, ...): low and high.

    Sets in which a value does not exist (NaN) are left out; NaN where none has it.
    """
    tail = (1 - coverage) / 2
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat).any(0)
    out = np.full((2, flat.shape[1]), np.nan)
    if known.any():
        out[:, known] = np.nanquantile(flat[:, known], [tail, 1 - tail], axis=0)
    return out.reshape(2, *values.shape[1:])
