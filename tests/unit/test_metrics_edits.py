"""Measures of edits: by hand, and against slow and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lexiseg.errors import InputError, OptionError
from lexiseg.metrics import (
    clip_score,
    fid,
    frechet_distance,
    gradient_histogram,
    kid,
    psnr,
    texture_distance,
)

SIZE = (20, 33)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def features(count: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(width, width))
    return rng.normal(size=(count, width)) @ mixing + shift


def test_psnr_by_hand() -> None:
    one = np.full((*SIZE, 3), 100, np.uint8)
    other = one.copy()
    other[0, :, :] = 110
    assert psnr(one, one) == math.inf
    where = np.zeros(SIZE, bool)
    where[:2] = True
    assert psnr(one, other, where) == pytest.approx(10 * math.log10(255**2 / 50))
    assert psnr(one, other, ~where) == math.inf


def test_gradients_by_hand() -> None:
    ramp = np.zeros((*SIZE, 3), np.uint8)
    ramp[:] = (4 * np.arange(SIZE[1], dtype=np.uint8))[None, :, None]
    found = gradient_histogram(ramp)
    # 4 levels a pixel along the rows: 2 * log2(4 / 0.5) = 6, so the seventh row, first column.
    assert found.shape == (16, 8)
    assert found[6:8, [0, 7]].sum() == pytest.approx(1)
    assert gradient_histogram(np.zeros((*SIZE, 3), np.uint8))[0].sum() == 1
    down = gradient_histogram(ramp.transpose(1, 0, 2))
    assert down[6:8, 3:5].sum() == pytest.approx(1)


def test_texture_distance() -> None:
    flat = np.full((*SIZE, 3), 128, np.uint8)
    assert texture_distance(noise(), noise()) == 0
    assert texture_distance(noise(), np.roll(noise(), (5, 7), (0, 1))) < 0.1
    assert texture_distance(flat, noise()) > 0.9
    x = np.arange(SIZE[1])[None].repeat(SIZE[0], 0)
    mild = np.clip(128 + (noise().astype(int) - 128) // 8, 0, 255).astype(np.uint8)
    assert texture_distance(mild, noise()) > 0.5
    left = x < 10
    half = np.where(left[..., None], noise(), flat).astype(np.uint8)
    inner = x < 8
    assert texture_distance(half, noise(), inner) == 0


def test_sizes_are_checked() -> None:
    with pytest.raises(InputError, match="give one size"):
        psnr(noise(), noise()[:5])
    with pytest.raises(InputError, match="no pixel counts"):
        texture_distance(noise(), noise(), np.zeros(SIZE, bool))


@pytest.mark.parametrize(("count", "width"), [(200, 6), (15, 40)])
def test_fid_against_scipys_matrix_root(count: int, width: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    one, other = features(count, width, 1), features(count + 9, width, 2, shift=0.4)
    cov, other_cov = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    if count > width:
        root = linalg.sqrtm(cov @ other_cov).real
        cross = np.trace(root)
    else:  # singular: the roots of the product's eigenvalues
        cross = np.sqrt(np.maximum(np.linalg.eigvals(cov @ other_cov).real, 0)).sum()
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum()
    expected += np.trace(cov) + np.trace(other_cov) - 2 * cross
    assert fid(one, other) == pytest.approx(expected, rel=1e-5)
    assert fid(one, one) == pytest.approx(0, abs=1e-6 * np.trace(cov))


def test_frechet_distance_of_two_spheres() -> None:
    found = frechet_distance(np.zeros(3), np.eye(3), np.array([3.0, 4, 0]), 4 * np.eye(3))
    assert found == pytest.approx(25 + 3 * (2 - 1) ** 2)


def test_kid_against_sums_over_pairs() -> None:
    one, other = features(9, 5, 3), features(11, 5, 4, shift=0.5)
    kernel = lambda x, y: (float(x @ y) / 5 + 1) ** 3  # noqa: E731

    def slow(x: np.ndarray, y: np.ndarray) -> float:
        m = len(x)
        within = sum(
            kernel(a[i], a[j]) for a in (x, y) for i in range(m) for j in range(m) if i != j
        )
        across = sum(kernel(x[i], y[j]) for i in range(m) for j in range(m))
        return within / (m * (m - 1)) - 2 * across / m**2

    rng = np.random.default_rng(7)
    expected = []
    for _ in range(3):
        x = one[rng.choice(9, 6, replace=False)]
        y = other[rng.choice(11, 6, replace=False)]
        expected.append(slow(x, y))
    found = kid(one, other, subsets=3, subset_size=6, seed=7)
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-9)
    assert found.std == pytest.approx(np.std(expected), rel=1e-9)


def test_kid_is_about_zero_for_one_distribution() -> None:
    one, same, far = (features(400, 8, s, shift) for s, shift in ((1, 0.0), (2, 0.0), (3, 1.0)))
    near = kid(one, same, subset_size=100).mean
    assert abs(near) < 0.1 * kid(one, far, subset_size=100).mean
    with pytest.raises(OptionError, match="the smaller set has 400"):
        kid(one, same)


def test_clip_score_by_hand() -> None:
    pictures = np.array([[2.0, 0], [0, 3]])
    words = np.array([[1.0, 1], [0, 5]])
    assert clip_score(pictures, words) == pytest.approx(100 * (math.sqrt(0.5) + 1) / 2)
    assert clip_score(pictures, -words) == 0
    with pytest.raises(InputError, match="words for each picture"):
        clip_score(pictures, words[:1])
    with pytest.raises(InputError, match="no direction"):
        clip_score(pictures, 0 * words)
