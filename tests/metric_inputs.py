"""Label maps, masks and probabilities that metrics are compared on, made of whole numbers.

Nothing is drawn at random: golden files must hold on any version of NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CLASSES = 7  # class 5 is only predicted, class 6 is neither there nor predicted
IGNORE = 255
SIZES = ((37, 53), (41, 29), (30, 64), (52, 35))

Labels = NDArray[np.int64]


def label_maps() -> Iterator[tuple[Labels, Labels]]:
    """Predicted and true class indices, (H, W) each; the last truth is ignored throughout."""
    for number, (height, width) in enumerate(SIZES):
        y, x = np.mgrid[:height, :width]
        truth = ((x + 3 * number) // 11 + 2 * ((y + 5 * number) // 9)) % 5
        pred = ((x + 3 * number + (y // 8) % 3) // 11 + 2 * ((y + 5 * number + x // 17) // 9)) % 5
        pred[(x > 4) & (x < 12) & (y > 20) & (y < 27)] = 5
        truth[(x // 6 + y // 5) % 7 == number] = IGNORE
        if number == len(SIZES) - 1:
            truth[:] = IGNORE
        yield pred, truth


def mask_pairs() -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Found and true masks, (H, W) each: usual ones, at the edge, empty on either or both sides."""
    for number, (height, width) in enumerate(SIZES):
        y, x = np.mgrid[:height, :width]
        truth = (3 * (x - 15 - number)) ** 2 + (4 * (y - 16)) ** 2 < 1900 + 200 * number
        pred = (3 * (x - 17)) ** 2 + (4 * (y - 14 - number)) ** 2 < 1700
        yield pred, truth
        yield x + y < 20 + number, x < 9
        yield pred & False, truth
        yield pred, truth & False
    yield pred & False, truth & False


def probabilities() -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_], int]]:
    """Maps in [0, 1], their truth, (H, W) each, and an index; some values lie on thresholds."""
    for index, (pred, truth) in enumerate(mask_pairs()):
        y, x = np.mgrid[: truth.shape[0], : truth.shape[1]]
        steps = (x * 7 + y * 13 + index * 5) % 31 + 40 * truth + 29 * pred
        yield np.clip(steps / 100, 0, 1).astype(np.float32), truth, index
