"""JPEG files whose end is missing: whether all pixels are there, and what stands in their segments.

Source of the markers: ITU-T T.81, Annex B; of the resources in APP13: Adobe's Photoshop file
format, "Image Resource Blocks".
"""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

__all__ = ["check_scans", "complete", "iptc_segment"]

_END = b"\xff\xd9"
# Noise in place of what is missing; 0xFF would begin a marker.
_NOISE = bytes(range(1, 255)) * 16
_MAX_SCANS = 500
_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC = 0x0404


def check_scans(data: bytes) -> None:
    """Raise ValueError for a file of so many scans that decoding it would take for ever."""
    scans = data.count(b"\xff\xda")
    if scans > _MAX_SCANS:
        raise ValueError(f"it holds {scans:,} scans, more than any camera or program makes")


def complete(data: bytes) -> bytes | None:
    """Return a file that lacks its end with an end marker, or None where pixels are missing too.

    libjpeg makes up what is missing. So the file is decoded twice, with the end marker right behind
    it and with noise between them: where all pixels are there, the noise reaches none.
    """
    data = data.rstrip(b"\xff")
    if not _whole_script(data):
        return None
    plain, noisy = (_decoded(data + tail) for tail in (_END, _NOISE + _END))
    return data + _END if np.array_equal(plain, noisy) else None


def iptc_segment(record: bytes) -> bytes:
    """Return an IPTC record as a JPEG segment; nothing where it is too long for one."""
    resource = b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(record)) + record
    resource += bytes(len(record) % 2)
    size = 2 + len(_PHOTOSHOP) + len(resource)
    if size > 65_535:
        return b""
    return b"\xff\xed" + struct.pack(">H", size) + _PHOTOSHOP + resource


def _decoded(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with JpegImageFile(io.BytesIO(data)) as image:
        image.load()
        return np.asarray(image)


def _whole_script(data: bytes) -> bool:
    """Tell whether a progressive file has a scan for every bit of every coefficient."""
    missing: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.int8]]] = {}
    progressive = False
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            break
        marker = data[at + 1]
        if marker in (0, 0xFF) or 0xD0 <= marker <= 0xD9 or marker == 1:
            at += 1 if marker == 0xFF else 2
            continue
        (size,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + size]
        if marker == 0xC2 and len(body) >= 6:
            progressive = True
            parts = body[6::3][: body[5]]
            missing = {part: np.full(64, 1, np.int8) for part in parts}
        elif marker == 0xDA and len(body) >= 4 and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            for part in body[1 : 1 + 2 * body[0] : 2]:
                if part in missing:
                    missing[part][first : last + 1] = bits & 15
        at += 2 + size
    return not progressive or not any(each.any() for each in missing.values())
