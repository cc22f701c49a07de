"""How good an edit is: PSNR, the distance of textures, and whether its outline shows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import InputError

__all__ = ["gradient_histogram", "psnr", "seam", "texture_distance", "texture_gap"]

_STRENGTHS, _DIRECTIONS = 16, 8
_RING = 0.03  # how wide the surroundings of a mask are, as a share of the picture's diagonal


def psnr(
    picture: NDArray[np.uint8], truth: NDArray[np.uint8], where: NDArray[np.bool_] | None = None
) -> float:
    """Return the peak signal-to-noise ratio in dB over all channels; infinite where both are equal.

    picture, truth: (H, W, C) or (H, W). where: (H, W), the pixels that count; None: all.
    """
    _same(picture, truth, where)
    apart = picture.astype(np.float64) - truth
    if where is not None:
        apart = apart[where]
    error = float(np.mean(apart**2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def gradient_histogram(
    rgb: NDArray[np.uint8], where: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return the share of pixels with each kind of gradient, (16, 8), summing to 1.

    Of luma (Rec. 601), by central differences, one-sided at the picture's edge. Rows: strength, the
    first below 0.5 grey levels a pixel, each further one up to the square root of two as much.
    Columns: direction, eighths of a half turn, from along the rows.
    """
    luma = rgb.astype(np.float64) @ (0.299, 0.587, 0.114)
    down, right = np.gradient(luma)
    strength = np.hypot(down, right)
    step = np.floor(2 * np.log2(np.maximum(strength, 1e-9) / 0.5)).astype(np.int64) + 1
    row = np.clip(step, 0, _STRENGTHS - 1)
    turn = np.mod(np.arctan2(down, right), np.pi) / np.pi * _DIRECTIONS
    column = np.minimum(turn.astype(np.int64), _DIRECTIONS - 1)
    kinds = row * _DIRECTIONS + column
    if where is not None:
        kinds = kinds[where]
    counts = np.bincount(kinds.reshape(-1), minlength=_STRENGTHS * _DIRECTIONS)
    return counts.reshape(_STRENGTHS, _DIRECTIONS) / max(int(counts.sum()), 1)


def texture_distance(
    picture: NDArray[np.uint8], truth: NDArray[np.uint8], where: NDArray[np.bool_] | None = None
) -> float:
    """Return how different two textures are, in [0, 1]: half the difference of their histograms.

    0: gradients are as strong and as directed, wherever they are; 1: no two are alike.
    picture, truth: (H, W, 3). where: (H, W), the pixels that count; None: all.
    """
    _same(picture, truth, where)
    apart = gradient_histogram(picture, where) - gradient_histogram(truth, where)
    return float(np.abs(apart).sum() / 2)


def texture_gap(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Return how different the texture in a mask is from that around it, in [0, 1].

    Half the difference of both gradient histograms, see ``gradient_histogram``. picture: (H, W, 3).
    mask: (H, W). NaN where either has no pixel.
    """
    around = _ring(mask)
    inner = _eroded(mask)  # gradients at the outline belong to neither
    if not inner.any() or not around.any():
        return math.nan
    apart = gradient_histogram(picture, inner) - gradient_histogram(picture, around)
    return float(np.abs(apart).sum() / 2)


def seam(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Return the mean gradient along a mask's outline over that on both sides of it.

    1: the outline is no edge. picture: (H, W, 3). mask: (H, W). NaN where there is no outline, or
    nothing around it but flat colour.
    """
    import cv2

    down, right = np.gradient(picture.astype(np.float64) @ (0.299, 0.587, 0.114))
    strength = np.hypot(down, right)
    kernel = np.ones((3, 3), np.uint8)
    solid = mask.astype(np.uint8)
    line = cv2.dilate(solid, kernel) != cv2.erode(solid, kernel, borderValue=1)
    reach = _reach(mask.shape)
    wide = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    near = (cv2.dilate(line.astype(np.uint8), wide) > 0) & ~line
    if not line.any() or not near.any() or strength[near].mean() == 0:
        return math.nan
    return float(strength[line].mean() / strength[near].mean())


def _ring(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The surroundings of a mask, but for the pixels next to it."""
    import cv2

    reach = _reach(mask.shape)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    wide = np.ones((2 * reach + 5, 2 * reach + 5), np.uint8)
    out: NDArray[np.bool_] = (cv2.dilate(mask.astype(np.uint8), wide) > 0) & ~near
    return out


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    import cv2

    kernel = np.ones((3, 3), np.uint8)
    out: NDArray[np.bool_] = cv2.erode(mask.astype(np.uint8), kernel, borderValue=1) > 0
    return out


def _reach(size_hw: tuple[int, ...]) -> int:
    return max(2, round(_RING * math.hypot(*size_hw)))


def _same(
    picture: NDArray[np.uint8], truth: NDArray[np.uint8], where: NDArray[np.bool_] | None
) -> None:
    if picture.shape != truth.shape or (where is not None and where.shape != truth.shape[:2]):
        raise InputError(
            f"pictures of {picture.shape} and {truth.shape}"
            + ("" if where is None else f", counted where {where.shape}")
            + "; give one size"
        )
    if not picture.size or (where is not None and not where.any()):
        raise InputError("no pixel counts; give at least one")
