"""Measures of sets of generated pictures, from their features: FID, KID, CLIP score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexiseg.errors import InputError, OptionError

__all__ = ["Kid", "clip_score", "fid", "frechet_distance", "kid"]

Floats = NDArray[np.float64]


def fid(features: ArrayLike, real: ArrayLike) -> float:
    """Return the Fréchet distance of two sets of features, (N, D) and (M, D) (Heusel et al. 2017).

    Published values are of Inception features; those of another encoder compare among themselves
    only. Covariances divide by N - 1, as the reference code does, so both sets need two pictures.
    """
    one, other = _features(features, 2), _features(real, 2)
    _same_width(one, other)
    return frechet_distance(
        one.mean(0),
        np.atleast_2d(np.cov(one, rowvar=False)),
        other.mean(0),
        np.atleast_2d(np.cov(other, rowvar=False)),
    )


def frechet_distance(mean: Floats, cov: Floats, other_mean: Floats, other_cov: Floats) -> float:
    """Return |m - m'|² + tr(C + C' - 2 (C C')^½) of two normal distributions, at least 0.

    mean: (D,). cov: (D, D). The root's trace is that of (C^½ C' C^½)^½, which is symmetric, so that
    singular covariances (fewer pictures than dimensions) need no added diagonal.
    """
    values, vectors = np.linalg.eigh(cov)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ other_cov @ root)
    cross = float(np.sqrt(np.maximum(inner, 0)).sum())
    apart = float(((mean - other_mean) ** 2).sum())
    return max(0.0, apart + float(np.trace(cov) + np.trace(other_cov)) - 2 * cross)


@dataclass(frozen=True)
class Kid:
    """The kernel distance: mean and standard deviation over subsets."""

    mean: float
    std: float


def kid(
    features: ArrayLike,
    real: ArrayLike,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> Kid:
    """Return the kernel distance of two feature sets, (N, D) and (M, D) (Bińkowski et al. 2018).

    The unbiased squared maximum mean discrepancy of the kernel (x·y / D + 1)³, over random subsets
    without repeats. Raises OptionError where a set is smaller than a subset.
    """
    one, other = _features(features, 2), _features(real, 2)
    _same_width(one, other)
    smallest = min(len(one), len(other))
    if not 2 <= subset_size <= smallest:
        raise OptionError(
            f"subset_size is {subset_size}, and the smaller set has {smallest} pictures; give from "
            "2 to as many"
        )
    rng = np.random.default_rng(seed)
    distances = []
    for _ in range(subsets):
        x = one[rng.choice(len(one), subset_size, replace=False)]
        y = other[rng.choice(len(other), subset_size, replace=False)]
        own, others = _kernel(x, x), _kernel(y, y)
        pairs = subset_size * (subset_size - 1)
        within = (own.sum() - np.trace(own) + others.sum() - np.trace(others)) / pairs
        distances.append(float(within - 2 * _kernel(x, y).mean()))
    return Kid(float(np.mean(distances)), float(np.std(distances)))


def clip_score(pictures: ArrayLike, words: ArrayLike) -> float:
    """Return 100 times the mean cosine of pictures with their own words, cut at 0 (Hessel 2021).

    pictures, words: (N, D), vectors of any length, row by row what belongs together.
    """
    one, other = _features(pictures, 1), _features(words, 1)
    if one.shape != other.shape:
        raise InputError(f"vectors of {one.shape} and {other.shape}; give words for each picture")
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    if (lengths == 0).any():
        raise InputError("a vector is all zeros, so it has no direction; encode the picture again")
    cosine = np.einsum("nd,nd->n", one, other) / lengths
    return float(max(0.0, 100 * cosine.mean()))


def _kernel(x: Floats, y: Floats) -> Floats:
    cubed: Floats = (x @ y.T / x.shape[1] + 1) ** 3
    return cubed


def _features(values: ArrayLike, min_rows: int) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or len(array) < min_rows or not np.isfinite(array).all():
        raise InputError(
            f"features of shape {array.shape}; give (N, D), finite, N at least {min_rows}"
        )
    return array


def _same_width(one: Floats, other: Floats) -> None:
    if one.shape[1] != other.shape[1]:
        raise InputError(
            f"features of {one.shape[1]} and {other.shape[1]} dimensions; use one encoder for both"
        )
