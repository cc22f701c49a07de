"""Run lengths as COCO writes them: column by column, starting with the number of zeros.

The compressed form stores each count (from the fourth on: its difference to the count two places
before) as a signed number of 5-bit digits, lowest first, each digit one character.

pycocotools writes that form and fills polygons. Reading is done here: pycocotools decodes into the
whole image, a byte a pixel, where a tight crop is wanted; and it reads beyond its memory where a
string is damaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import InputError

__all__ = [
    "Rle",
    "compress",
    "counts_of_crop",
    "counts_of_polygons",
    "counts_of_rle",
    "crop_of_counts",
    "decompress",
]

_MAX_DIGITS = 12  # 60 bits, far beyond any image
_MAX_PIXELS = 1 << 29  # pycocotools keeps six digits of five bits, one of them the sign, for a run
_MAX_OUTLINE = 1 << 22  # pixels; pycocotools follows an outline in steps of a fifth of a pixel


class Rle(TypedDict):
    """One mask: size is [H, W], counts the compressed string."""

    size: list[int]
    counts: str


def counts_of_crop(
    crop: NDArray[np.bool_], x0: int, y0: int, size_hw: tuple[int, int]
) -> NDArray[np.int64]:
    """Return the run lengths, (R,), of a picture that is empty but for `crop`, (h, w), at x0, y0.

    They sum to H * W; the first may be 0, no other is.
    """
    height, width = size_hw
    crop_h, crop_w = crop.shape
    columns = np.zeros((crop_w, crop_h + 2), np.bool_)
    columns[:, 1:-1] = crop.T
    x, y = np.nonzero(columns[:, 1:] != columns[:, :-1])
    edges = (x + x0) * height + (y + y0)
    # A run that ends at the bottom goes on at the top of the next column: the two edges cancel.
    doubled = edges[1:] == edges[:-1]
    keep = np.ones(edges.shape, np.bool_)
    keep[1:][doubled] = False
    keep[:-1][doubled] = False
    edges = edges[keep]
    counts = np.diff(np.concatenate([[0], edges, [height * width]]))
    return counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts


def crop_of_counts(
    counts: NDArray[np.int64], size_hw: tuple[int, int]
) -> tuple[NDArray[np.bool_], int, int]:
    """Return the tight crop, (h, w), and its x0, y0; an empty mask gives a (0, 0) crop.

    Raises InputError when the counts are negative or do not sum to H * W.
    """
    height, width = size_hw
    if (counts < 0).any() or counts.sum() != height * width:
        raise InputError(
            f"run lengths sum to {counts.sum()} (smallest {counts.min(initial=0)}), but the mask "
            f"is {height} x {width}; give non-negative counts that sum to {height * width}"
        )
    edges = np.cumsum(counts)
    stops = edges[1::2]
    starts = edges[0::2][: len(stops)]
    filled = stops > starts
    starts, stops = starts[filled], stops[filled]
    if not len(starts):
        return np.zeros((0, 0), np.bool_), 0, 0
    left, top = np.divmod(starts, height)
    right, bottom = np.divmod(stops - 1, height)  # the last pixel of each run
    x0, x1 = int(left[0]), int(right[-1]) + 1
    if (left != right).any():  # a run over the end of a column touches bottom and top
        y0, y1 = 0, height
    else:
        y0, y1 = int(top.min()), int(bottom.max()) + 1
    # zeros, ones, zeros, ..., column by column of the crop alone
    crop_h, crop_w = y1 - y0, x1 - x0
    bounds = np.zeros(2 * len(starts) + 2, np.int64)
    bounds[1:-1:2] = (left - x0) * crop_h + top - y0
    bounds[2:-1:2] = (right - x0) * crop_h + bottom - y0 + 1
    bounds[-1] = crop_h * crop_w
    lengths = np.diff(bounds)
    columns = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(crop_w, crop_h)
    return columns.T, x0, y0


def compress(counts: NDArray[np.int64], size_hw: tuple[int, int]) -> Rle:
    """Return run lengths, (R,), of a mask of H x W pixels as COCO's compressed string."""
    from pycocotools.mask import frPyObjects

    height, width = _checked_size(size_hw)
    rle = frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def decompress(text: str | bytes) -> NDArray[np.int64]:
    """Return the run lengths, (R,), of a COCO string.

    Raises InputError for a string that is cut off or holds other characters.
    """
    raw = text.encode("utf-8") if isinstance(text, str) else text
    code = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if not len(code):
        return np.zeros(0, np.int64)
    last = (code & 32) == 0
    if code.min() < 0 or code.max() > 63 or not last[-1]:
        raise InputError(
            f"{text[:20]!r} is not a whole COCO run-length string; read it from its file again"
        )
    stops = np.flatnonzero(last) + 1
    starts = np.concatenate([[0], stops[:-1]])
    digits = stops - starts
    if digits.max() > _MAX_DIGITS:
        raise InputError(f"{text[:20]!r} holds a run length beyond any picture; read it again")
    place = np.arange(len(code)) - np.repeat(starts, digits)
    numbers = np.add.reduceat((code & 31) << (5 * place), starts)
    negative = (code[stops - 1] & 16) != 0
    numbers -= np.where(negative, np.int64(1) << (5 * digits), 0)
    # From the fourth on, a number is the difference to the count two places before.
    counts = numbers.copy()
    counts[1::2] = np.cumsum(numbers[1::2])
    counts[2::2] = np.cumsum(numbers[2::2])
    return counts


def counts_of_polygons(
    polygons: Sequence[Sequence[float]], size_hw: tuple[int, int]
) -> NDArray[np.int64]:
    """Return the run lengths, (R,), of the union of polygons, as pycocotools fills them.

    A polygon is x, y, x, y, ... in pixels and may leave the image; one of fewer than three corners
    is empty. Raises InputError for an odd number of values, values that are not finite, and an
    outline so long that following it would take much memory.
    """
    from pycocotools.mask import frPyObjects, merge

    height, width = _checked_size(size_hw)
    checked = [_checked_polygon(polygon) for polygon in polygons]
    outlines = [values for values in checked if len(values) >= 6]
    if not outlines:
        return np.array([height * width])
    return decompress(merge(frPyObjects(outlines, height, width))["counts"])


def _checked_size(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Return H, W; raises InputError for images whose runs pycocotools has no room for."""
    height, width = size_hw
    if height * width >= _MAX_PIXELS:
        raise InputError(
            f"run lengths of an image of {height} x {width} pixels; they are written for less than "
            f"{_MAX_PIXELS} pixels, so cut the image into tiles"
        )
    return height, width


def _checked_polygon(polygon: Sequence[float]) -> list[float]:
    """Return the values of a polygon; raises InputError for what pycocotools cannot bear."""
    try:
        corners_xy = np.asarray(polygon, np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise InputError(f"a polygon {polygon!r:.60}; give numbers x, y, x, y, ...") from error
    sides = np.abs(corners_xy - np.roll(corners_xy, 1, axis=0)).max(axis=1)
    reach = float(np.abs(corners_xy).max(initial=0))
    if not (reach <= _MAX_OUTLINE and sides.sum() <= _MAX_OUTLINE):
        raise InputError(
            f"a polygon with a coordinate of {reach:g} and an outline of {sides.sum():g} pixels; "
            f"give finite pixels, and an outline of at most {_MAX_OUTLINE}"
        )
    return corners_xy.reshape(-1).tolist()


def counts_of_rle(rle: Mapping[str, object]) -> NDArray[np.int64]:
    """Return the run lengths, (R,), of either form of a COCO mask."""
    counts = rle["counts"]
    if isinstance(counts, str | bytes):
        return decompress(counts)
    return np.array(counts, np.int64).reshape(-1)
