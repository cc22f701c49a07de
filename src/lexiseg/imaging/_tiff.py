"""TIFF files with all that a picture carries, 8 and 16 bits, in one strip layout that all can read.

Pillow writes no 16-bit colour and OpenCV no metadata. Source: TIFF 6.0 (Adobe, 1992); predictor and
Deflate: Adobe Photoshop TIFF Technical Notes (2002).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from lexiseg.imaging._exif import resolution_entries, tree
from lexiseg.imaging._ifd import Directory, Entry, Node, pack

__all__ = ["encode"]

_STRIP_BYTES = 2**20


def encode(
    samples: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """Return (H, W, C) samples, C 1 to 4: grey, grey and alpha, RGB, RGBA, as a TIFF file.

    exif: a clean block; its tags stand in the file's own directories. Raises ValueError for more
    than TIFF can hold, 4 GB.
    """
    node, order = (Node({}), "<") if exif is None else tree(exif)
    height, width, channels = samples.shape
    dtype = np.dtype(f"{order}u{samples.dtype.itemsize}")
    depth = samples.dtype.itemsize * 8
    rows = max(1, _STRIP_BYTES // max(1, width * channels * samples.dtype.itemsize))
    starts, sizes = [], []
    body = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    for top in range(0, height, rows):
        strip = samples[top : top + rows].copy()
        # What is stored is how each sample differs from the one to its left.
        strip[:, 1:] -= samples[top : top + rows, :-1]
        data = zlib.compress(strip.astype(dtype).tobytes(), 3)
        starts.append(len(body))
        sizes.append(len(data))
        body += data + bytes(len(data) % 2)
    if len(body) > 2**32 - 2**26:
        raise ValueError("more than 4 GB")

    def numbers(letter: str, *values: int) -> Entry:
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        return Entry({"H": 3, "I": 4}[letter], len(values), packed)

    entries: Directory = {
        256: numbers("I", width),
        257: numbers("I", height),
        258: numbers("H", *[depth] * channels),
        259: numbers("H", 8),  # Deflate
        262: numbers("H", 1 if channels < 3 else 2),
        273: numbers("I", *starts),
        274: numbers("H", 1),
        277: numbers("H", channels),
        278: numbers("I", rows),
        279: numbers("I", *sizes),
        284: numbers("H", 1),
        317: numbers("H", 2),
        339: numbers("H", *[1] * channels),
    }
    if channels in (2, 4):
        entries[338] = numbers("H", 2)  # alpha, colours not multiplied by it
    for tag, kind, block in ((700, 1, xmp), (33723, 7, iptc), (34675, 7, icc)):
        if block:
            entries[tag] = Entry(kind, len(block), block)
    told = dict(node.entries)
    if dpi is not None:
        told |= resolution_entries(dpi, order)
    struct.pack_into(f"{order}I", body, 4, len(body))
    return bytes(body) + pack(Node(told | entries, node.children), order, len(body))
