"""Parts of pictures: a region with what lies around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.editing.region import Region

__all__ = ["extent", "grown", "widened", "with_margin"]

Window = tuple[slice, slice]


def widened(where: Region, size_hw: tuple[int, int], margin: int) -> tuple[Window, Window]:
    """Return the window of a region grown by `margin` pixels, and the region inside of it."""
    x0, y0, x1, y1 = where.box_xyxy
    left, top = max(0, x0 - margin), max(0, y0 - margin)
    outer = (
        slice(top, min(size_hw[0], y1 + margin)),
        slice(left, min(size_hw[1], x1 + margin)),
    )
    return outer, (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def with_margin(pixels: NDArray[Any], where: Region, margin: int) -> tuple[NDArray[Any], Window]:
    """Return the region's pixels with `margin` around them, and the region inside of that."""
    outer, inner = widened(where, (pixels.shape[0], pixels.shape[1]), margin)
    return np.ascontiguousarray(pixels[outer]), inner


def grown(where: Region, size_hw: tuple[int, int], margin: int) -> Region:
    """Return the same region in a larger box: `margin` pixels more, of weight 0."""
    (rows, columns), inner = widened(where, size_hw, margin)
    shape = rows.stop - rows.start, columns.stop - columns.start
    weight, mask = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    weight[inner], mask[inner] = where.weight, where.mask
    return Region((columns.start, rows.start, columns.stop, rows.stop), weight, mask)


def extent(mask: NDArray[np.bool_]) -> int:
    """Return the shorter side of the box around a mask, in pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(min(rows[-1] - rows[0], columns[-1] - columns[0])) + 1
