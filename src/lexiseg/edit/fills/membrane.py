"""Smooth surfaces over a hole: Laplace's equation, from coarse grids to fine ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["membrane"]

_COARSEST = 4  # below this many pixels a side nothing is gained by halving
_SWEEPS = 24
_MAX_PIXELS = 100_000  # of a hole that is swept as a whole
_RIM = 12  # pixels into a larger hole to which what the coarse grid cannot hold reaches


def membrane(values: NDArray[np.float32], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return values, (H, W, C), with the hole, (H, W), filled as smoothly as can be.

    Inside, each pixel is the mean of its four neighbours (Pérez et al., Poisson image editing,
    2003, section 2: the equation without guidance); at the picture's edge it has fewer. Known
    pixels stay bit by bit; without any, the result is 0.
    """
    values = np.asarray(values, np.float32)
    if hole.all():
        return np.zeros_like(values)
    if not hole.any():
        return values.copy()
    out = np.where(hole[..., None], _guess(values, hole), values).astype(np.float32)
    _relax(out, hole if np.count_nonzero(hole) <= _MAX_PIXELS else _near_rim(hole))
    return out


def _guess(values: NDArray[np.float32], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The solution at half the size, brought back: only fine ripples remain to be smoothed."""
    import cv2

    height, width = hole.shape
    if min(height, width) < 2 * _COARSEST:
        return np.broadcast_to(values[~hole].mean(0), values.shape)
    size = ((width + 1) // 2, (height + 1) // 2)
    known = (~hole).astype(np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(values * known[..., None], size, interpolation=cv2.INTER_AREA)
    small = small.reshape(size[1], size[0], -1) / np.maximum(weight, 1e-6)[..., None]
    coarse = membrane(small.astype(np.float32), weight < 1e-3)
    full = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full, np.float32).reshape(values.shape)


def _near_rim(hole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part of a hole whose pixels are near known ones: deeper ones have no fine ripples."""
    import cv2

    depth = cv2.distanceTransform(hole.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    return np.asarray(hole & (depth <= _RIM))


def _relax(values: NDArray[np.float32], free: NDArray[np.bool_]) -> None:
    """Red-black sweeps of over-relaxation over the free pixels of `values`, in place."""
    ys, xs = np.nonzero(free)
    height, width = free.shape
    flat = values.reshape(height * width, -1)
    halves = []
    for parity in (0, 1):
        of = (ys + xs) % 2 == parity
        y, x = ys[of], xs[of]
        near = []
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            ny, nx = y + dy, x + dx
            inside = (ny >= 0) & (ny < height) & (nx >= 0) & (nx < width)
            # A neighbour beyond the edge is the pixel itself: no slope across the edge.
            near.append(np.where(inside, ny * width + nx, y * width + x))
        halves.append((y * width + x, near))
    for _ in range(_SWEEPS):
        for centre, near in halves:
            mean = sum(flat[n] for n in near) / 4
            flat[centre] += 1.5 * (mean - flat[centre])
