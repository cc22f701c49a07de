"""Closeness that holds on any processor: an error is held against the largest value.

Kernels add in other orders, so an error grows with the values that are added up, not with the one
that comes out: a bound for each value alone fails on the next processor. Everything is compared in
double precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["assert_close", "assert_labels", "error", "lead"]


def _double(values: Any) -> NDArray[np.float64]:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double()
    return np.asarray(values, np.float64)


def error(got: Any, want: Any) -> float:
    """Return the largest error as a part of the largest absolute value of want."""
    mine, theirs = _double(got), _double(want)
    assert mine.shape == theirs.shape, f"shape {mine.shape}, not {theirs.shape}"
    assert theirs.size, "nothing is compared"
    assert np.isfinite(theirs).all(), "the reference is not finite"
    largest = np.abs(theirs).max()
    assert largest > 0, "the reference is 0 everywhere: compare with == instead"
    return float(np.abs(mine - theirs).max() / largest)


def assert_close(got: Any, want: Any, eps: float = 1e-4) -> None:
    """The largest error is at most eps times the largest |want|.

    Arrays or tensors of equal shape. Between two float32 networks of equal weights errors of 1e-6
    to 1e-5 are usual; another activation, normalisation or half a pixel's shift gives over 1e-3.
    """
    found = error(got, want)
    assert found <= eps, f"error {found:.2e} of the largest value, more than {eps:.0e}"


def lead(maps: Any) -> NDArray[np.float64]:
    """Return by how much the largest of (K, H, W) maps is above the second, (H, W)."""
    return np.subtract(*np.sort(_double(maps), axis=0)[:-3:-1])


def assert_labels(
    got: Any, want: Any, maps: Any, eps: float = 1e-4, *, margins: Any = None
) -> None:
    """Labels (H, W) differ only where the maps (K, H, W) leave it open, however many do.

    Open is a pixel at which errors of eps times the largest |maps| may change the winner. margins,
    (H, W): by how much a value may change, where more than the largest map decides (a threshold).
    Nine pixels of ten must not be open, or agreement would mean nothing.
    """
    mine, theirs, values = np.asarray(got), np.asarray(want), _double(maps)
    assert mine.shape == theirs.shape == values.shape[1:]
    # Both of the two largest values may be off, in opposite directions.
    tolerance = 2 * eps * np.abs(values).max()
    sure = (lead(values) if margins is None else _double(margins)) > tolerance
    assert sure.mean() >= 0.9, f"{sure.mean():.1%} of the pixels are sure: too few"
    wrong = (mine != theirs) & sure
    assert not wrong.any(), f"{int(wrong.sum())} sure pixels of {wrong.size} differ"
