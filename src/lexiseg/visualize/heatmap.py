"""Heat maps: values in [0, 1] as colours over a grey photo, with the scale that explains them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexiseg.visualize import canvas
from lexiseg.visualize.canvas import Pen
from lexiseg.visualize.legend import FAINT, INK, PAPER, pen_for

if TYPE_CHECKING:
    from lexiseg.imaging import Source
    from lexiseg.results import Segmentation

__all__ = ["attach_scale", "heat", "heatmap"]


def heatmap(
    seg: Segmentation, word: str, image: Source | None = None, *, legend: bool = True
) -> NDArray[np.uint8]:
    """Draw the score of `word` at each pixel over the photo in grey.

    The scale is always that of scores, 0 to 1, so that two words, or two photos, compare.
    With a legend, return a figure for the eye, (H', W', 3) uint8, sized as `overlay` sizes its
    own; without one, exactly (H, W, 3). Raises WordNotAsked for a word outside the vocabulary.
    """
    scores = seg.heatmap(word)
    rgb = canvas.photo(seg, image)
    size_hw = canvas.figure_size(scores.shape) if legend else scores.shape
    figure = heat(canvas.resize(rgb, size_hw), canvas.resize(scores, size_hw))
    if not legend:
        return figure
    return attach_scale(figure, word, f"highest {float(scores.max(initial=0.0)):.2f}")


def heat(rgb: NDArray[np.uint8], values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Lay `values` (H, W) in [0, 1] over `rgb` (H, W, 3): dim grey at 0, bright yellow at 1."""
    import cv2

    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    values = np.clip(values, 0.0, 1.0).astype(np.float32)
    weight = (0.35 + 0.5 * values)[..., None]
    out: NDArray[np.uint8] = np.rint(grey * (1 - weight) + _colours(values) * weight).astype(
        np.uint8
    )
    return out


def attach_scale(picture: NDArray[np.uint8], title: str, remark: str) -> NDArray[np.uint8]:
    """Return `picture` (H, W, 3) over a strip with a title, the scale from 0 to 1 and a remark."""
    height, width = picture.shape[:2]
    pen = pen_for((height, width))
    size = pen.size
    pad = round(1.2 * size)
    wide = max(width, 24 * size)
    strip = np.empty((round(3.6 * size), wide, 3), dtype=np.uint8)
    strip[:] = PAPER
    base = round(1.9 * size)
    tail = pen.width(remark)
    bar = min(12 * size, (wide - 2 * pad) // 3)
    bar_x = wide - pad - tail - round(1.5 * size) - bar
    bold = Pen(size, 500)
    bold.write(strip, bold.fit(title, bar_x - pad - 2 * size), (pad, base), INK)
    ramp = np.linspace(0.0, 1.0, bar, dtype=np.float32)[None]
    top = base - round(0.85 * size)
    strip[top : base + size // 8, bar_x : bar_x + bar] = np.rint(_colours(ramp)).astype(np.uint8)
    small = Pen(max(11, round(0.8 * size)))
    for value, x in (("0", bar_x), ("1", bar_x + bar)):
        small.write(strip, value, (x - small.width(value) // 2, base + round(1.15 * size)), FAINT)
    pen.write(strip, remark, (wide - pad, base), FAINT, right=True)
    canvas = np.empty((height + strip.shape[0], wide, 3), dtype=np.uint8)
    canvas[:] = PAPER
    left = (wide - width) // 2
    canvas[:height, left : left + width] = picture
    canvas[height:] = strip
    return canvas


def _colours(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours, (..., 3) float32 RGB in [0, 255], of values in [0, 1]."""
    import cv2

    steps = np.arange(256, dtype=np.uint8)[None]
    table = cv2.applyColorMap(steps, cv2.COLORMAP_INFERNO)[0, :, ::-1].astype(np.float32)
    out: NDArray[np.float32] = table[np.rint(values * 255).astype(np.intp)]
    return out
