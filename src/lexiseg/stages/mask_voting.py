"""Many masks over one pixel: their opinions of it, joined.

Pixels that the same masks cover are one region, whose class is asked once: the sum over masks of
how good a mask is times how probable each class is for it (Cheng et al., "Per-Pixel Classification
is Not All You Need", 2021, section 3.4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks

__all__ = ["covering_masks", "mean_votes", "overlap_regions"]


def overlap_regions(
    masks: Masks, start: int, stop: int
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """Return the regions of the rows from ``start`` to ``stop``.

    That is the number of each pixel's region, (stop - start, W), and a pixel of each region: its
    row in the picture and its column, (R,) each. Work is linear in the masks' boxes.
    """
    width = masks.size_hw[1]
    # Sums of random numbers tell sets of masks apart.
    codes = np.random.default_rng(0).integers(1, 2**64, len(masks), np.uint64)
    sums = np.zeros((stop - start, -(-width // 8) * 8), np.uint64)
    for i, (x0, y0, _, y1) in enumerate(masks.boxes_xyxy.tolist()):
        low, high = max(y0, start), min(y1, stop)
        if low < high:
            bits = np.unpackbits(masks.packed[i][low - y0 : high - y0], axis=1)
            left = x0 // 8 * 8
            sums[low - start : high - start, left : left + bits.shape[1]] += codes[i] * bits
    flat = sums[:, :width].ravel()
    firsts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    _, where, which = np.unique(flat[firsts], return_index=True, return_inverse=True)
    lengths = np.diff(np.append(firsts, flat.size))
    numbers = np.repeat(which.reshape(-1), lengths).reshape(stop - start, width)
    return numbers, firsts[where] // width + start, firsts[where] % width


def covering_masks(masks: Masks, ys: NDArray[np.int64], xs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which masks cover which of P pixels, given by row and column: (P, N)."""
    out = np.zeros((len(ys), len(masks)), np.bool_)
    for i, (x0, y0, x1, y1) in enumerate(masks.boxes_xyxy.tolist()):
        near = np.flatnonzero((ys >= y0) & (ys < y1) & (xs >= x0) & (xs < x1))
        eight = masks.packed[i][ys[near] - y0, xs[near] // 8 - x0 // 8]
        out[near, i] = eight >> (7 - xs[near] % 8).astype(np.uint8) & 1
    return out


def mean_votes(
    members: NDArray[np.bool_], weights: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean probability of each class_id, (R, O); zeros where no mask is.

    members: (R, N), which masks count. weights: (N,), above 0. probabilities: (N, O).
    """
    weighted = (members * weights).astype(np.float32)
    total = weighted.sum(1, keepdims=True)
    out: NDArray[np.float32] = np.matmul(weighted, probabilities)
    out /= np.where(total > 0, total, 1)
    return out
