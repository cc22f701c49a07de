"""Choosing some of N things with the keys that NumPy takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Key", "chosen"]

Key = int | np.integer | slice | Sequence[int] | Sequence[bool] | NDArray[np.generic]


def chosen(key: Key, count: int) -> NDArray[np.intp]:
    """Return the numbers, (M,), of the things that `key` chooses among `count`.

    An empty list chooses none. Raises IndexError for a number out of range, a bool array of
    another length, and floats, as NumPy does.
    """
    if not isinstance(key, int | np.integer | slice):
        key = np.asarray(key)
        if not key.size and key.dtype != np.bool_:
            key = key.astype(np.intp)
    return np.atleast_1d(np.arange(count)[key])
