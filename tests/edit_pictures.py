"""Small pictures and masks on which edits are tested."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = (40, 57)


def disc(
    radius: float = 9, size: tuple[int, int] = SIZE, at: tuple[int, int] = (20, 30)
) -> NDArray[np.bool_]:
    y, x = np.mgrid[: size[0], : size[1]]
    inside: NDArray[np.bool_] = (y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2
    return inside


def noise(size: tuple[int, int] = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    """Coloured blobs some pixels wide."""
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (0, 0), 1.2)
    return np.asarray(soft, np.uint8)
