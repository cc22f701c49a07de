"""Packed bits of masks, eight pixels a byte on the image's own grid of columns; tight boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["bit_count", "fits", "label_boxes", "pack", "tighten"]

_BAND_PIXELS = 1 << 22  # a label map is searched in bands of this size, to bound memory


def pack(crop: NDArray[np.bool_], x0: int) -> NDArray[np.uint8]:
    """Return an (h, w) bool crop, whose first column is x0, as bytes on the picture's grid."""
    height, width = crop.shape
    if not x0 % 8:
        return np.packbits(crop, axis=1)
    shifted = np.zeros((height, x0 % 8 + width), np.bool_)
    shifted[:, x0 % 8 :] = crop
    return np.packbits(shifted, axis=1)


def tighten(
    bits: NDArray[np.uint8], byte0: int, y0: int
) -> tuple[tuple[int, int, int, int], NDArray[np.uint8]]:
    """Return the tight box of packed rows whose first byte is at column 8 * byte0, and its bytes.

    Outside the box all bits are 0, so cutting at whole bytes loses nothing.
    """
    rows = np.flatnonzero(bits.any(axis=1))
    if not len(rows):
        return (0, 0, 0, 0), np.zeros((0, 0), np.uint8)
    columns = np.flatnonzero(np.unpackbits(np.bitwise_or.reduce(bits, axis=0)))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    box = (8 * byte0 + left, y0 + top, 8 * byte0 + right, y0 + bottom)
    return box, bits[top:bottom, left // 8 : -(-right // 8)].copy()


def fits(box: list[int], bits: NDArray[np.uint8]) -> bool:
    """Tell whether packed bytes are the tight content of a box."""
    x0, y0, x1, y1 = box
    if bits.dtype != np.uint8 or bits.shape != (y1 - y0, -(-x1 // 8) - x0 // 8):
        return False
    if not bits.size:
        return True
    first, last = np.bitwise_or.reduce(bits[:, :: max(bits.shape[1] - 1, 1)], axis=0)[[0, -1]]
    end = 7 - (x1 - 1) % 8  # bits of the last byte that lie beyond the box
    return bool(
        int(first) >> (7 - x0 % 8) == 1
        and int(last) & ((2 << end) - 1) == 1 << end
        and bits[0].any()
        and bits[-1].any()
    )


def bit_count(bits: NDArray[np.uint8]) -> int:
    """Return the number of set bits, eight bytes at a time."""
    flat = np.ascontiguousarray(bits).reshape(-1)
    whole = len(flat) // 8 * 8
    words = np.bitwise_count(flat[:whole].view(np.uint64))
    return int(words.sum(dtype=np.int64) + np.bitwise_count(flat[whole:]).sum(dtype=np.int64))


def label_boxes(label_map: NDArray[np.integer], values: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the tight boxes, (V, 4), of sorted values in a (H, W) map; absent ones are zeros."""
    height, width = label_map.shape
    x0, x1 = np.full(len(values), width), np.zeros(len(values), np.int64)
    y0, y1 = np.full(len(values), height), np.zeros(len(values), np.int64)
    rows = max(1, _BAND_PIXELS // max(width, 1))
    for top in range(0, height if len(values) else 0, rows):
        band = np.ascontiguousarray(label_map[top : top + rows])
        starts_run = np.ones(band.shape, np.bool_)
        np.not_equal(band[:, 1:], band[:, :-1], out=starts_run[:, 1:])
        start = np.flatnonzero(starts_run)
        value = band.reshape(-1)[start].astype(np.int64)
        stop = np.append(start[1:], band.size)
        which = np.minimum(np.searchsorted(values, value), len(values) - 1)
        wanted = values[which] == value
        which, start, stop = which[wanted], start[wanted], stop[wanted]
        y = start // width
        np.minimum.at(x0, which, start - y * width)
        np.maximum.at(x1, which, stop - y * width)
        np.minimum.at(y0, which, y + top)
        np.maximum.at(y1, which, y + top + 1)
    boxes = np.stack([x0, y0, x1, y1], axis=1).astype(np.int32)
    boxes[x1 == 0] = 0
    return boxes
