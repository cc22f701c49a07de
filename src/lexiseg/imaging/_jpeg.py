"""JPEG files whose end is missing: whether all pixels are there, and what stands in their segments.

Source of the markers: ITU-T T.81, Annex B; of the resources in APP13: Adobe's Photoshop file
format, "Image Resource Blocks".
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lexiseg.imaging._formats import opened

__all__ = ["check_work", "complete", "iptc_segment"]

_END = b"\xff\xd9"
# In place of what is missing, where libjpeg itself puts bits of 0; 0xFF would begin a marker.
_NOISES = tuple(start + bytes(range(1, 255)) * 16 for start in (b"\xfe\xa5", b"\x5a\xfe"))
_MAX_SCANS = 500
_MAX_BLOCKS = 10**8  # of all scans: some 30 of the largest pictures
_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC = 0x0404


def check_work(size_wh: tuple[int, int], data: bytes, progressive: bool) -> None:
    """Raise ValueError where the bytes cannot hold so many pixels, which libjpeg would make up, or
    hold so many scans that decoding would take for ever."""
    width, height = size_wh
    blocks = -(-width // 8) * -(-height // 8)
    # A block takes a bit at least of a progressive file, and two of another one.
    if len(data) * (8 if progressive else 4) < blocks:
        raise ValueError(f"{len(data):,} bytes cannot hold its {height} x {width} pixels")
    if not progressive:
        return
    scans = sum(marker == 0xDA for marker, _ in _segments(data))
    if scans > _MAX_SCANS or scans * blocks > _MAX_BLOCKS:
        raise ValueError(f"it holds {scans:,} scans, more than any camera or program makes")


def complete(data: bytes) -> bytes | None:
    """Return a file that lacks its end with an end marker, or None where pixels are missing too.

    libjpeg makes up what is missing. So the file is decoded with the end marker right behind it,
    and with noise between them: where all pixels are there, the noise reaches none. Raises what
    Pillow raises.
    """
    data = data.rstrip(b"\xff")
    if not _whole_script(data):
        return None
    plain = _decoded(data + _END)
    noisy = (_decoded(data + noise + _END) for noise in _NOISES)
    return data + _END if all(np.array_equal(plain, one) for one in noisy) else None


def iptc_segment(record: bytes) -> bytes:
    """Return an IPTC record as a JPEG segment; nothing where it is too long for one."""
    resource = b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(record)) + record
    resource += bytes(len(record) % 2)
    size = 2 + len(_PHOTOSHOP) + len(resource)
    if size > 65_535:
        return b""
    return b"\xff\xed" + struct.pack(">H", size) + _PHOTOSHOP + resource


def _decoded(data: bytes) -> NDArray[np.uint8]:
    with opened("JPEG", io.BytesIO(data)) as image:
        image.load()
        return np.asarray(image)


def _whole_script(data: bytes) -> bool:
    """Tell whether a progressive file has a scan for every bit of every coefficient."""
    missing: dict[int, NDArray[np.int8]] = {}
    for marker, body in _segments(data):
        if marker == 0xC2 and len(body) >= 6:
            missing = {part: np.full(64, 1, np.int8) for part in body[6::3][: body[5]]}
        elif marker == 0xDA and body and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            for part in body[1 : 1 + 2 * body[0] : 2]:
                if part in missing:
                    missing[part][first : last + 1] = bits & 15
    return not any(each.any() for each in missing.values())


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and content of every segment up to the end marker."""
    at = 2
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 3:
        marker = data[at + 1]
        if marker == 0xD9:
            return
        if marker in (0, 1, 0xFF) or 0xD0 <= marker <= 0xD8:  # without content
            at += 1 if marker == 0xFF else 2
            continue
        (size,) = struct.unpack_from(">H", data, at + 2)
        yield marker, data[at + 4 : at + 2 + size]
        at += 2 + size
