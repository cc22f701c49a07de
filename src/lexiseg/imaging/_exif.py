"""EXIF blocks: turned upright, freed of thumbnails, fitted to a size, taken out of TIFF files.

Blocks are changed in place: nothing moves, so that maker's notes, whose offsets nobody documents,
stay readable.
"""

from __future__ import annotations

import io
import re
import struct
from bisect import bisect_right
from fractions import Fraction
from itertools import accumulate
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lexiseg.imaging._ifd import (
    Directory,
    Entry,
    Header,
    Node,
    integers,
    pack,
    read_directory,
    read_header,
)

__all__ = [
    "body_of",
    "clean",
    "fitted",
    "from_tiff",
    "resolution",
    "resolution_entries",
    "tree",
    "with_resolution",
    "without_orientation",
    "without_storage",
]

PREFIX = b"Exif\0\0"
_ORIENTATION, _EXIF, _GPS, _INTEROPERABILITY = 0x0112, 0x8769, 0x8825, 0xA005
_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003
# How the pixels of a TIFF file are stored, and what stands in a Picture's own fields (XMP, IPTC,
# profile): no part of what an EXIF block tells. Photoshop's block holds a thumbnail.
_STORAGE = {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281}
_STORAGE |= {284, 288, 289, 290, 291, 292, 293, 297, 301, 317, 320, 321, 322, 323, 324, 325, 330}
_STORAGE |= {332, 333, 334, 336, 338, 339, 340, 341, 342, 347, 512, 513, 514, 515, 517, 518, 519}
_STORAGE |= {520, 521, 529, 530, 531, 532, 700, 33723, 34377, 34675, 37724}
_DNG = range(50706, 51200)
_OLD_TYPES = range(1, 13)  # those of BigTIFF are unknown to readers of EXIF
_START_OF_JPEG = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]")


def clean(block: bytes) -> tuple[bytes | None, int]:
    """Return an EXIF block marked upright and without any thumbnail, and the orientation it had.

    None where it is empty. Thumbnails show the picture as it was before an edit. Besides the one
    that the standard knows, makers hide previews in their notes; all that begins like JPEG is
    overwritten. Raises ValueError for a damaged block.
    """
    body = bytearray(body_of(block))
    header, directories, kept = _survey(body)
    if not directories[0]:
        return None, 1
    order = header.order
    orientation = 1
    entry = directories[0].get(_ORIENTATION)
    if entry is not None and entry.count == 1 and integers(entry, order):
        orientation = integers(entry, order)[0]
        body[entry.at : entry.at + len(entry.data)] = (
            struct.pack(f"{order}H", 1) if len(entry.data) == 2 else _one(entry, order)
        )
    behind = _after_table(body, header, header.first)
    thumbnail = _thumbnail_ranges(body, header)
    body[behind : behind + 4] = bytes(len(body[behind : behind + 4]))
    is_kept = np.zeros(len(body), bool)
    for start, stop in kept:
        is_kept[start:stop] = True
    pixels: NDArray[np.uint8] = np.frombuffer(body, np.uint8)
    for start, stop in thumbnail:
        pixels[start:stop][~is_kept[start:stop]] = 0
    for start, stop in _previews(bytes(body), kept):
        pixels[start:stop] = 0
    del pixels  # lets go of the bytearray, which may shrink now
    end = max(stop for _, stop in kept)
    if not any(body[end:]):
        del body[end:]
    return PREFIX + bytes(body), orientation


def fitted(block: bytes, size_hw: tuple[int, int]) -> bytes:
    """Return a clean block whose pixel dimensions, where it tells any, are `size_hw`."""
    body = bytearray(body_of(block))
    header, directories, _ = _survey(body)
    for directory in directories:
        for tag, value in ((_PIXEL_X, size_hw[1]), (_PIXEL_Y, size_hw[0])):
            entry = directory.get(tag)
            if entry is not None and entry.count == 1 and entry.type in (3, 4):
                letter, value = ("I", value) if entry.type == 4 else ("H", min(value, 65_535))
                struct.pack_into(header.order + letter, body, entry.at, value)
    return PREFIX + bytes(body)


def without_orientation(block: bytes) -> bytes:
    """Return a clean block without its orientation, for formats that keep it elsewhere."""
    body = bytearray(body_of(block))
    header, _, _ = _survey(body)
    table, end = header.first + 2, _after_table(body, header, header.first)
    for row in range(table, end, 12):
        if struct.unpack_from(f"{header.order}H", body, row)[0] == _ORIENTATION:
            body[row : end + 4] = body[row + 12 : end + 4] + bytes(12)
            struct.pack_into(f"{header.order}H", body, header.first, (end - table) // 12 - 1)
            break
    return PREFIX + bytes(body)


def resolution(block: bytes) -> tuple[float, float] | None:
    """Return pixels an inch, (x, y), as a block tells them, or None."""
    header, directories, _ = _survey(body_of(block))
    return _resolution(directories[0], header.order)


def with_resolution(block: bytes | None, dpi: tuple[float, float]) -> bytes:
    """Return a clean block that tells pixels an inch, (x, y); the same where it tells them."""
    if block is None:
        node, order = Node({}), "<"
    else:
        told = resolution(block)
        if told is not None and np.allclose(told, dpi, rtol=2e-3):
            return block
        node, order = tree(block)
    entries = {**node.entries, **resolution_entries(dpi, order)}
    return _block(Node(entries, node.children), order)


def resolution_entries(dpi: tuple[float, float], order: str) -> Directory:
    """Return the three tags that tell pixels an inch."""
    values = [Fraction(value).limit_denominator(10_000) for value in dpi]
    packed = [struct.pack(f"{order}2I", value.numerator, value.denominator) for value in values]
    return {
        _X_RESOLUTION: Entry(5, 1, packed[0]),
        _Y_RESOLUTION: Entry(5, 1, packed[1]),
        _UNIT: Entry(3, 1, struct.pack(f"{order}H", 2)),
    }


def tree(block: bytes) -> tuple[Node, str]:
    """Return what a clean block tells, apart from how pixels are stored, and its byte order."""
    file = io.BytesIO(body_of(block))
    header = read_header(file)
    return _told(file, header), header.order


def from_tiff(file: BinaryIO) -> tuple[bytes | None, int, tuple[float, float] | None]:
    """Return what the first directory of a TIFF file tells as a clean EXIF block, its orientation,
    and pixels an inch. The block is None where there is nothing to tell.

    Raises ValueError where the directory is damaged.
    """
    header = read_header(file)
    first, _ = read_directory(file, header, header.first)
    order = header.order
    orientation = (*integers(first.get(_ORIENTATION), order), 1)[0]
    dpi = _resolution(first, order)
    node = _told(file, header)
    entries = {tag: entry for tag, entry in node.entries.items() if tag != _ORIENTATION}
    if not entries and not node.children:
        return None, orientation, dpi
    block, _ = clean(_block(Node(entries, node.children), order))
    return block, orientation, dpi


def without_storage(block: bytes) -> bytes:
    """Return a block without what tells how the pixels of a TIFF file are stored."""
    return _block(*tree(block))


def _block(node: Node, order: str) -> bytes:
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return PREFIX + start + pack(node, order, 8)


def _told(file: BinaryIO, header: Header) -> Node:
    """The first directory without what tells of storage, and the directories that EXIF has."""
    first, _ = read_directory(file, header, header.first)
    exif = _child(file, header, first, _EXIF)
    children = {}
    if exif is not None:
        inner = _child(file, header, exif, _INTEROPERABILITY)
        below = {} if inner is None else {_INTEROPERABILITY: Node(_plain(inner))}
        children[_EXIF] = Node(_plain(exif), below)
    gps = _child(file, header, first, _GPS)
    if gps is not None:
        children[_GPS] = Node(_plain(gps))
    return Node(_plain(first), children)


def _plain(directory: Directory) -> Directory:
    pointers = (_EXIF, _GPS, _INTEROPERABILITY)
    return {
        tag: entry
        for tag, entry in directory.items()
        if tag not in _STORAGE
        and tag not in _DNG
        and tag not in pointers
        and entry.type in _OLD_TYPES
    }


def _child(file: BinaryIO, header: Header, parent: Directory, tag: int) -> Directory | None:
    place = integers(parent.get(tag), header.order)
    if len(place) != 1:
        return None
    try:
        return read_directory(file, header, place[0])[0]
    except ValueError:
        return None


def body_of(block: bytes) -> bytes:
    """Return a block without what stands before its TIFF header, once or more."""
    while block.startswith(PREFIX):
        block = block[len(PREFIX) :]
    return block


def _survey(
    body: bytes | bytearray,
) -> tuple[Header, list[Directory], list[tuple[int, int]]]:
    """Return the header, the directories that the standard knows, and the places they take."""
    file = io.BytesIO(body)
    header = read_header(file)
    if header.big:
        raise ValueError("an EXIF block that is BigTIFF")
    directories: list[Directory] = []
    kept = [(0, 8)]
    pending = [header.first]
    while pending:
        at = pending.pop(0)
        try:
            directory, _ = read_directory(file, header, at)
        except ValueError:
            if directories:  # what a pointer leads to is damaged; the rest is not
                continue
            raise
        directories.append(directory)
        kept.append((at, min(_after_table(body, header, at) + 4, len(body))))
        kept += [(entry.at, entry.at + len(entry.data)) for entry in directory.values()]
        # Three at most: a directory that points to itself is not followed for ever.
        for tag in (_EXIF, _GPS, _INTEROPERABILITY) if len(directories) < 4 else ():
            pending += integers(directory.get(tag), header.order)[:1]
    return header, directories[:4], kept


def _after_table(body: bytes | bytearray, header: Header, at: int) -> int:
    """Where the offset of the next directory stands."""
    count: int = struct.unpack_from(f"{header.order}H", body, at)[0]
    return at + 2 + 12 * count


def _thumbnail_ranges(body: bytes | bytearray, header: Header) -> list[tuple[int, int]]:
    """The places that the second directory takes, which is a thumbnail's, and its pixels."""
    file = io.BytesIO(body)
    at = read_directory(file, header, header.first)[1]
    try:
        second, _ = read_directory(file, header, at)
    except ValueError:
        return []
    ranges = [(at, _after_table(body, header, at) + 4)]
    ranges += [(entry.at, entry.at + len(entry.data)) for entry in second.values()]
    for starts, lengths in ((513, 514), (273, 279)):
        pairs = zip(
            integers(second.get(starts), header.order),
            integers(second.get(lengths), header.order),
            strict=False,
        )
        ranges += [(start, start + length) for start, length in pairs]
    return ranges


def _previews(body: bytes, kept: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places of embedded JPEG pictures, each within the value or the gap that holds it."""
    places = sorted(kept)
    starts = [start for start, _ in places]
    reach = list(accumulate((stop for _, stop in places), max))
    found = []
    at = 0
    while (hit := _START_OF_JPEG.search(body, at)) is not None:
        start = hit.start()
        index = bisect_right(starts, start)
        limit = reach[index - 1] if index else 0
        if limit <= start:  # in a gap
            limit = starts[index] if index < len(starts) else len(body)
        end = body.rfind(b"\xff\xd9", start, limit)
        at = limit if end < 0 else end + 2
        found.append((start, at))
    return found


def _resolution(first: Directory, order: str) -> tuple[float, float] | None:
    values = []
    for tag in (_X_RESOLUTION, _Y_RESOLUTION):
        entry = first.get(tag)
        if entry is None or entry.type != 5 or entry.count != 1:
            return None
        over, under = struct.unpack(f"{order}2I", entry.data)
        if not over or not under:
            return None
        values.append(over / under)
    unit = (*integers(first.get(_UNIT), order), 2)[0]
    if unit not in (2, 3):  # 1: without a unit, a ratio of sides only
        return None
    factor = 2.54 if unit == 3 else 1.0
    return values[0] * factor, values[1] * factor


def _one(entry: Entry, order: str) -> bytes:
    return struct.pack(f"{order}I", 1) if len(entry.data) == 4 else b"\1"
