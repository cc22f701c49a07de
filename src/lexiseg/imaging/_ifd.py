"""TIFF directories, of which EXIF blocks and TIFF files are made, read and packed.

The bytes of a value are never interpreted on the way, so that a type, a count or a maker's note
that nobody here knows comes out as it went in. A directory is read without following what it points
to: no loop in a file can be followed for ever.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

__all__ = [
    "Directory",
    "Entry",
    "Header",
    "Node",
    "integers",
    "pack",
    "read_directory",
    "read_header",
    "rewritten",
]

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}  # of BigTIFF
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_MAX_BYTES = 16 * 2**20  # of values in one directory


@dataclass(frozen=True)
class Entry:
    """A tag's value: its TIFF type, how many of it, and their bytes in the byte order of the file.

    at: where the bytes stand in the file.
    """

    type: int
    count: int
    data: bytes
    at: int = 0


Directory = dict[int, Entry]


@dataclass(frozen=True)
class Header:
    """order: "<" or ">", as in struct. big: BigTIFF. first: where the first directory is."""

    order: str
    big: bool
    first: int


@dataclass(frozen=True)
class Node:
    """A directory to be packed, and the directories that some of its tags point to."""

    entries: Directory
    children: Mapping[int, Node] = field(default_factory=dict)


def read_header(file: BinaryIO) -> Header:
    """Return the header of a file that begins like TIFF; raises ValueError for another one."""
    file.seek(0)
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 8:
        raise ValueError("no TIFF header")
    (version,) = struct.unpack(f"{order}H", start[2:4])
    if version == 43 and len(start) == 16:
        return Header(order, True, struct.unpack(f"{order}Q", start[8:16])[0])
    # Some writers swap the bytes of the 42; readers take the order from the first two.
    if version not in (42, 42 << 8):
        raise ValueError(f"a TIFF header with version {version}")
    return Header(order, False, struct.unpack(f"{order}I", start[4:8])[0])


def read_directory(file: BinaryIO, header: Header, at: int) -> tuple[Directory, int]:
    """Return the directory at an offset, and the offset of the next, 0 where there is none.

    Values of unknown type, or that reach beyond the file, are left out. Raises ValueError where the
    directory itself does.
    """
    end = file.seek(0, os.SEEK_END)
    order = header.order
    width, row, word = (8, 20, "Q") if header.big else (2, 12, "I")
    if not 0 < at <= end - width:
        raise ValueError("a TIFF directory beyond the end")
    file.seek(at)
    (count,) = struct.unpack(order + ("Q" if header.big else "H"), file.read(width))
    if count > 65_535 or at + width + count * row > end:
        raise ValueError(f"a TIFF directory of {count} entries that reaches beyond the end")
    table = file.read(count * row)
    following = file.read(struct.calcsize(word))
    found: Directory = {}
    total = 0
    for start in range(0, len(table), row):
        tag, kind, number = struct.unpack_from(f"{order}HH{word}", table, start)
        size = _SIZES.get(kind, 0) * number
        inner = start + row - struct.calcsize(word)
        place = at + width + inner
        if tag in found or not size:
            continue
        if size > struct.calcsize(word):
            (place,) = struct.unpack_from(order + word, table, inner)
            total += size
            # Tags that share their bytes may tell of more than there is.
            if place + size > end or total > min(end, _MAX_BYTES):
                continue
        file.seek(place)
        found[tag] = Entry(kind, number, file.read(size), place)
    nothing = len(following) < struct.calcsize(word)
    return found, 0 if nothing else struct.unpack(order + word, following)[0]


def integers(entry: Entry | None, order: str) -> tuple[int, ...]:
    """Return the whole numbers of a value; none where it is missing or of another type."""
    letter = None if entry is None else _INTEGERS.get(entry.type)
    if entry is None or letter is None:
        return ()
    return struct.unpack(f"{order}{entry.count}{letter}", entry.data)


def pack(node: Node, order: str, at: int) -> bytes:
    """Return a directory and all below it as they stand in a file from offset `at`, an even one."""
    tags = sorted({*node.entries, *node.children})
    table = struct.pack(f"{order}H", len(tags))
    behind = bytearray()
    start = at + 2 + 12 * len(tags) + 4
    for tag in tags:
        place = struct.pack(f"{order}I", start + len(behind))
        child = node.children.get(tag)
        if child is not None:
            behind += pack(child, order, start + len(behind))
            kind, count, value = 4, 1, place
        else:
            entry = node.entries[tag]
            kind, count, value = entry.type, entry.count, entry.data.ljust(4, b"\0")
            if len(value) > 4:
                behind += value
                value = place
        behind += bytes(len(behind) % 2)
        table += struct.pack(f"{order}HHI", tag, kind, count) + value
    return table + bytes(4) + bytes(behind)


def rewritten(file: BinaryIO, header: Header, entries: Directory) -> BinaryIO:
    """Return a copy of a TIFF file, never a BigTIFF, of which these entries alone tell.

    Raises ValueError for a file of more than the 4 GB that plain TIFF can hold.
    """
    order = header.order
    file.seek(0)
    data = file.read()
    if len(data) > 2**32 - 2**20:
        raise ValueError("a BigTIFF of more than 4 GB of this kind is not read")
    data += bytes(len(data) % 2)
    narrow = {
        tag: Entry(4, entry.count, struct.pack(f"{order}{entry.count}I", *integers(entry, order)))
        for tag, entry in entries.items()
        if entry.type == 16
    }
    node = Node({tag: entry for tag, entry in (entries | narrow).items() if entry.type <= 13})
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", len(data))
    return io.BytesIO(start + data[8:] + pack(node, order, len(data)))
