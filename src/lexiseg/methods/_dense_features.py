"""Dense features of either kind, on one grid or by windows, as the dense methods need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lexiseg.prompts import Vocabulary
    from lexiseg.protocols import DenseScores, View
    from lexiseg.results import ScoreMap
    from lexiseg.stages.clip_windows import Windows
    from lexiseg.stages.encoder_windows import Features

__all__ = [
    "clip_windows_of", "encoder_features_of", "grid_of", "result_map", "windows_in_image",
    "without_background",
]  # fmt: skip


def clip_windows_of(view: View[Any]) -> tuple[Windows, ...]:
    """Features by windows, of encoders whose last attention is opened; () for others."""
    from lexiseg.stages.clip_windows import Windows

    return tuple(f for f in view.encoded if isinstance(f, Windows))


def encoder_features_of(view: View[Any]) -> tuple[Features, ...]:
    """Features on one grid, of encoders that are used as they are; () for others."""
    from lexiseg.stages.encoder_windows import Features

    return tuple(f for f in view.encoded if isinstance(f, Features))


def grid_of(view: View[Any]) -> tuple[tuple[int, int], int]:
    """The size that the image was scaled to, counted in cells of how many pixels a side."""
    windows = clip_windows_of(view)
    if windows:
        return windows[0].grid_hw, 1
    first = encoder_features_of(view)[0]
    return first.work_hw, first.cell


def windows_in_image(
    features: tuple[Features | Windows, ...], size_hw: tuple[int, int]
) -> NDArray[np.int64]:
    """What was encoded, in pixels of the image, (N, 4) x0, y0, x1, y1."""
    boxes = [
        [x0 / f.work_hw[1], y0 / f.work_hw[0], x1 / f.work_hw[1], y1 / f.work_hw[0]]
        for f in features
        for y0, x0, y1, x1 in f.windows
    ]
    height, width = size_hw
    corners = np.rint(np.array(boxes).reshape(-1, 4) * [width, height, width, height])
    return np.asarray(corners, np.int64)


def result_map(scores: DenseScores, count: int) -> ScoreMap:
    """The first ``count`` classes' probabilities on cells that end where the image ends."""
    import torch

    from lexiseg.results import ScoreMap
    from lexiseg.stages.encoder_windows import Features
    from lexiseg.stages.resample import whole_cells

    maps = scores.probabilities[:count]
    grid = torch.empty(*maps.shape[1:], 0)
    maps = whole_cells(maps, Features(grid, scores.cell, scores.input_hw, scores.size_hw, ()))
    return ScoreMap(maps.cpu().numpy().astype(np.float16), scores.size_hw)


def without_background(
    labels: NDArray[np.int16] | NDArray[np.int32], vocabulary: Vocabulary
) -> NDArray[np.int16] | NDArray[np.int32]:
    """A label map in which the word "background" has no pixels: it is no thing to count."""
    if vocabulary.background_index is None:
        return labels
    out = labels.copy()
    out[labels == vocabulary.background_index] = -1
    return out
