"""How close an edit comes to the truth: PSNR, and the distance of textures."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import InputError

__all__ = ["gradient_histogram", "psnr", "texture_distance"]

_STRENGTHS, _DIRECTIONS = 16, 8


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
