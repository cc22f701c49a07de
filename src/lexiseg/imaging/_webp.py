"""WebP files: how large they are, a wrong length put right, whether they are lossless.

Source: RFC 9649.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["is_lossless", "size_of", "with_right_length"]


def size_of(start: bytes) -> tuple[int, int] | None:
    """Return (width, height) as the first bytes of a file tell them, or None."""
    kind, body = start[12:16], start[20:30]
    if kind == b"VP8X" and len(body) == 10:
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
        return width, height
    if kind == b"VP8L" and len(body) >= 5:
        packed = int.from_bytes(body[1:5], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(body) == 10:
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    return None


def with_right_length(file: BinaryIO) -> BinaryIO | None:
    """Return a file that says it is longer than it is, put right; None where it is not so.

    Programs forget the byte that makes a length even, or count their own header.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(4)
    told = int.from_bytes(file.read(4), "little")
    if told + 8 <= length:
        return None
    file.seek(0)
    data = file.read()
    data += bytes(len(data) % 2)
    return io.BytesIO(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


def is_lossless(file: BinaryIO) -> bool:
    """Tell whether the first picture in a file is stored without loss."""
    return next((kind == b"VP8L" for kind in _chunks(file) if kind in (b"VP8L", b"VP8 ")), False)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the types of the chunks, those within frames too."""
    at, end = 12, file.seek(0, os.SEEK_END)
    while at + 8 <= end:
        file.seek(at)
        kind, size = struct.unpack("<4sI", file.read(8))
        yield kind
        at += 8 + (16 if kind == b"ANMF" else size + size % 2)
