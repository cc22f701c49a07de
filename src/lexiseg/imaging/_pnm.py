"""PBM, PGM and PPM files, plain and binary, 8 and 16 bits: numbers behind a short header.

Pillow reads them sample by sample in Python, and cuts 16-bit colour to 8. Source of the format: the
Netpbm manual pages pbm(5), pgm(5), ppm(5).
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_header", "read_samples"]

_TOKEN = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*([^\s#]+)")
_COMMENT = re.compile(rb"#[^\r\n]*")


def read_header(file: BinaryIO) -> tuple[int, tuple[int, int], int, int]:
    """Return kind (1 to 6), (width, height), the greatest value, and where the samples begin.

    Raises ValueError for a damaged header.
    """
    file.seek(0)
    start = file.read(65_536)
    kind, at = int(start[1:2]), 2
    values: list[int] = []
    while len(values) < (2 if kind in (1, 4) else 3):
        hit = _TOKEN.match(start, at)
        if hit is None or not hit[1].isdigit() or len(hit[1]) > 10:
            raise ValueError("a number is missing in its header")
        values.append(int(hit[1]))
        at = hit.end()
    top = 1 if kind in (1, 4) else values[2]
    if not 0 < top < 65_536:
        raise ValueError(f"its greatest value is {top}")
    return kind, (values[0], values[1]), top, at + 1


def read_samples(file: BinaryIO) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the samples, (H, W, 1) or (H, W, 3), scaled to 0 to 255, or to 65535 of a file with
    greater values than 255. Raises ValueError where some are missing."""
    kind, (width, height), top, at = read_header(file)
    channels = 3 if kind in (3, 6) else 1
    count = height * width * channels
    file.seek(at)
    values: NDArray[Any]
    if kind <= 3:
        # Two characters a number at least, apart from PBM, whose digits may touch.
        values = _plain(_COMMENT.sub(b" ", file.read(count * 12 + 65_536)), count, kind == 1)
    elif kind == 4:
        packed = np.frombuffer(file.read(height * ((width + 7) // 8)), np.uint8)
        if packed.size < height * ((width + 7) // 8):
            raise ValueError(f"{packed.size:,} bytes of its pixels are there")
        values = np.unpackbits(packed.reshape(height, -1), axis=1)[:, :width].reshape(-1)
    else:
        dtype = np.dtype(">u2" if top > 255 else "u1")
        values = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    if values.size < count:
        raise ValueError(f"{values.size:,} of {count:,} of its numbers are there")
    if kind in (1, 4):
        values = 1 - values  # 1 is black
    wide = 65_535 if top > 255 else 255
    table = np.rint(np.minimum(np.arange(65_536), top) * (wide / top))
    scaled = table.astype(np.uint16 if wide > 255 else np.uint8)[values[:count]]
    return np.ascontiguousarray(scaled.reshape(height, width, channels))


def _plain(text: bytes, count: int, touching: bool) -> NDArray[np.uint16]:
    if touching:
        digits = np.frombuffer(b"".join(text.split()), np.uint8)[:count]
        if ((digits != 48) & (digits != 49)).any():
            raise ValueError("it holds something else than 0 and 1")
        return (digits - 48).astype(np.uint16)
    words = text.split(maxsplit=count)[:count]
    if any(len(word) > 10 or not word.isdigit() for word in words):
        raise ValueError("it holds something else than numbers")
    return np.minimum(np.array(words, np.int64), 65_535).astype(np.uint16)
