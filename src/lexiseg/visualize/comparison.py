"""A photo, its true classes, what a method answered, and where the two differ, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lexiseg.visualize.canvas import Pen, resize
from lexiseg.visualize.colours import palette
from lexiseg.visualize.legend import FAINT, INK, PAPER

__all__ = ["comparison", "error_map"]

Labels = NDArray[np.integer]
Pixels = NDArray[np.uint8]

WRONG, IGNORED = (214, 40, 57), (150, 150, 150)
_TITLES = ("photo", "truth", "answer", "errors")


def error_map(rgb: Pixels, truth: Labels, pred: Labels, ignore_index: int) -> Pixels:
    """Return the photo in grey, wrong pixels red, ignored ones flat grey, (H, W, 3).

    rgb: (H, W, 3). truth, pred: (H, W) class indices of the same photo.
    """
    grey = rgb.mean(2, keepdims=True).repeat(3, 2) * 0.6 + 90
    wrong, ignored = (pred != truth)[..., None], (truth == ignore_index)[..., None]
    out = np.where(wrong, 0.35 * grey + 0.65 * np.array(WRONG), grey)
    out = np.where(ignored, IGNORED, out)
    return np.rint(out).astype(np.uint8)


def comparison(
    rgb: Pixels,
    truth: Labels,
    pred: Labels,
    names: Sequence[str],
    ignore_index: int = 255,
    *,
    background: int | None = None,
    side: int = 480,
    columns: int = 2,
    legend: bool = True,
) -> Pixels:
    """Return four pictures on one sheet, (H', W', 3): photo, truth, answer, errors.

    rgb: (H, W, 3). truth, pred: (H, W) class indices; those outside `names` have no colour, nor
    has the class `background`. side: the length of a picture's longer side; smaller photos are
    enlarged. columns: 1, 2 or 4.
    legend: titles, and below the sheet each class that is there or answered, with its IoU.
    """
    factor = side / max(rgb.shape[:2])
    size_hw = (max(1, round(rgb.shape[0] * factor)), max(1, round(rgb.shape[1] * factor)))
    small = resize(rgb, size_hw)
    rows = np.minimum((np.arange(size_hw[0]) / factor).astype(np.intp), rgb.shape[0] - 1)
    across = np.minimum((np.arange(size_hw[1]) / factor).astype(np.intp), rgb.shape[1] - 1)
    true, found = (labels[np.ix_(rows, across)] for labels in (truth, pred))
    colours = palette(names)
    painted = np.arange(len(names)) != background
    sheets = [
        small,
        _tinted(small, true, colours, painted),
        _tinted(small, found, colours, painted),
        error_map(small, true, found, ignore_index),
    ]
    pen = Pen(max(11, side // 26))
    title = round(1.9 * pen.size) if legend else 0
    gap = max(2, side // 80)
    height, width = size_hw
    lines = -(-len(sheets) // columns)
    sheet = np.empty(
        (lines * (height + title) + (lines - 1) * gap, columns * width + (columns - 1) * gap, 3),
        np.uint8,
    )
    sheet[:] = PAPER
    for place, (picture, text) in enumerate(zip(sheets, _TITLES, strict=True)):
        y, x = place // columns * (height + title + gap), place % columns * (width + gap)
        if legend:
            pen.write(sheet, text, (x, y + round(1.3 * pen.size)), FAINT)
        sheet[y + title : y + title + height, x : x + width] = picture
    if not legend:
        return sheet
    return np.concatenate([sheet, _legend(truth, pred, names, ignore_index, sheet.shape[1], pen)])


def _tinted(rgb: Pixels, labels: Labels, colours: Pixels, painted: NDArray[np.bool_]) -> Pixels:
    """The photo, pale, under the colours of the classes that are painted, (C,)."""
    grey = rgb.mean(2, keepdims=True)
    pale = 0.3 * rgb + 0.4 * grey + 60
    inside = (labels >= 0) & (labels < len(colours))
    inside[inside] = painted[labels[inside]]
    tint = colours[np.where(inside, labels, 0)]
    mixed = np.where(inside[..., None], 0.3 * pale + 0.7 * tint, pale)
    out: Pixels = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    return out


def _legend(
    truth: Labels, pred: Labels, names: Sequence[str], ignore_index: int, width: int, pen: Pen
) -> Pixels:
    """A line of swatches, names and IoUs of the classes there or answered, (h, width, 3)."""
    counted = truth != ignore_index
    entries = []
    for index in np.union1d(truth[counted], pred[counted]).tolist():
        if 0 <= index < len(names):
            ours, theirs = (pred == index) & counted, (truth == index) & counted
            share = np.count_nonzero(ours & theirs) / np.count_nonzero(ours | theirs)
            entries.append((-np.count_nonzero(theirs), index, f"IoU {100 * share:.0f} %"))
    entries.sort()
    step = round(1.9 * pen.size)
    spots, x, y = [], 0, 0
    for _, index, iou in entries:
        room = 2 * pen.size + pen.width(names[index]) + pen.width(iou) + 2 * pen.size
        if x and x + room > width:
            x, y = 0, y + step
        spots.append((x, y, index, iou))
        x += room
    out = np.empty((y + step + pen.size // 2, width, 3), np.uint8)
    out[:] = PAPER
    colours = palette(names)
    for x, y, index, iou in spots:
        top = y + pen.size // 2
        out[top : top + pen.size, x : x + pen.size] = colours[index]
        base = y + round(1.35 * pen.size)
        name = pen.fit(names[index], width // 2)
        pen.write(out, name, (x + round(1.5 * pen.size), base), INK)
        pen.write(out, iou, (x + 2 * pen.size + pen.width(name), base), FAINT)
    return out
