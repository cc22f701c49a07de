"""The windows and prompts that a method used, and how sure it was where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexiseg.visualize import canvas
from lexiseg.visualize.colours import palette
from lexiseg.visualize.heatmap import attach_scale, heat

if TYPE_CHECKING:
    from lexiseg.imaging import Source
    from lexiseg.results import ScoreMap, Segmentation

__all__ = ["debug_overlay", "margin_map"]


def debug_overlay(
    seg: Segmentation,
    image: Source | None = None,
    *,
    boxes_xyxy: ArrayLike | None = None,
    points_xy: ArrayLike | None = None,
) -> NDArray[np.uint8]:
    """Draw the margin at each pixel, with windows and points over it: (H', W', 3) uint8.

    The margin is the best word's score less the second's, where the background counts as a word:
    near 0 the method wavered, near 1 it was sure. Without a score map the photo stays plain.
    boxes_xyxy: (N, 4) windows in pixels of the picture. points_xy: (N, 2) likewise.
    """
    import cv2

    rgb = canvas.photo(seg, image)
    size_hw = canvas.figure_size(rgb.shape[:2])
    margin = np.zeros(size_hw, dtype=np.float32)
    if seg.score_map is not None:
        margin = canvas.resize(margin_map(seg.score_map), size_hw)
    figure = heat(canvas.resize(rgb, size_hw), margin)
    scale = np.array([size_hw[1] / rgb.shape[1], size_hw[0] / rgb.shape[0]])
    thick = max(1, round(max(size_hw) / 420))
    boxes = np.asarray([] if boxes_xyxy is None else boxes_xyxy, np.float64).reshape(-1, 4)
    points = np.asarray([] if points_xy is None else points_xy, np.float64).reshape(-1, 2)
    colours = palette([str(index) for index in range(len(boxes))]).tolist()
    for index, (box, colour) in enumerate(zip(boxes, colours, strict=True)):
        # Windows overlap: each is drawn a little further in than the one before it.
        inset = thick * (1 + 2 * (index % 3))
        x0, y0 = np.rint(box[:2] * scale).astype(int) + inset
        x1, y1 = np.rint(box[2:] * scale).astype(int) - 1 - inset
        cv2.rectangle(figure, (int(x0), int(y0)), (int(x1), int(y1)), colour, thick)
    for x, y in np.rint((points + 0.5) * scale - 0.5).astype(int).tolist():
        cv2.circle(figure, (x, y), 3 * thick, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(figure, (x, y), 2 * thick, (255, 255, 255), -1, cv2.LINE_AA)
    counts = ((len(boxes), "window"), (len(points), "point"))
    remark = ", ".join(f"{n} {what}{'s' * (n > 1)}" for n, what in counts if n)
    return attach_scale(figure, "margin, best to second word", remark)


def margin_map(scores: ScoreMap) -> NDArray[np.float32]:
    """Return the best score less the second best at each place of the grid, (h, w) in [0, 1]."""
    grid = scores.grid
    # A word at a time: the grid of hundreds of words in float32 would be the largest thing here.
    background = np.ones(grid.shape[1:], dtype=np.float32)
    best = np.zeros_like(background)
    second = np.zeros_like(background)
    for plane in grid:
        score = plane.astype(np.float32)
        background -= score
        second = np.maximum(second, np.minimum(best, score))
        best = np.maximum(best, score)
    background = np.maximum(background, 0.0)  # what the words leave
    second = np.maximum(second, np.minimum(best, background))
    margin: NDArray[np.float32] = np.maximum(best, background) - second
    return margin
