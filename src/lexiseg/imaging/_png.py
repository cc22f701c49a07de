"""PNG files chunk by chunk: small damage is passed over, texts stay bytes, 16 bits are written.

Pillow gives up on a wrong checksum in a text and on a text of more than a megabyte, and writes no
16-bit colour. So the chunks are read here, and it is handed those alone that make pixels.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "XMP_KEYWORD", "Chunk", "PngFile", "encode", "find_xmp", "inserted", "read_chunks",
    "relabelled", "text_chunk",
]  # fmt: skip

Chunk = tuple[bytes, bytes]  # its type and what it holds

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_COLOURS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_BLOCKS = (b"iCCP", b"eXIf", b"pHYs")
_MAX_CHUNKS = 1_000_000
_MAX_KEPT = 64 * 2**20  # bytes of texts and blocks
_DEFLATE = 1032  # at most this many bytes come out of one
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_BEHIND_HEADER = 33  # 8 bytes of signature, 25 of IHDR
# First column and step, first row and step, of the seven passes.
_ADAM7 = (
    (0, 8, 0, 8),
    (4, 8, 0, 8),
    (0, 4, 4, 8),
    (2, 4, 0, 4),
    (0, 2, 2, 4),
    (1, 2, 0, 2),
    (0, 1, 1, 2),
)


@dataclass
class PngFile:
    """What `read_chunks` read.

    size_wh, depth, colour, interlaced: of IHDR. pixels: a sound PNG file with the pixels alone.
    kept: texts and chunks that tell of colours, as they are. blocks: profile, EXIF and resolution.
    transparency: tRNS; in `pixels` too where Pillow reads it, which is up to 8 bits.
    notes: remarks on what was damaged or left out.
    """

    size_wh: tuple[int, int] = (0, 0)
    depth: int = 8
    colour: int = 0
    interlaced: bool = False
    pixels: bytes = b""
    kept: list[Chunk] = field(default_factory=list)
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    transparency: bytes | None = None
    animated: bool = False
    content_credentials: bool = False
    cut: bool = False
    notes: list[str] = field(default_factory=list)

    def raw_size(self) -> int:
        """Return how many bytes the pixels are before they are compressed."""
        width, height = self.size_wh
        bits = _CHANNELS[self.colour] * self.depth
        total = 0
        for x, dx, y, dy in _ADAM7 if self.interlaced else ((0, 1, 0, 1),):
            across, down = -((x - width) // dx), -((y - height) // dy)
            if across > 0 and down > 0:
                total += down * (1 + (across * bits + 7) // 8)
        return total


def read_chunks(file: BinaryIO, max_pixels: int) -> PngFile:
    """Return the chunks of a PNG file; of one of more than max_pixels the header alone.

    Raises ValueError where pixels are missing or damaged.
    """
    found = PngFile()
    data: list[bytes] = []
    palette, damaged, size = b"", False, 0
    for kind, body, sound in _chunks(file, found):
        if kind == b"IHDR":
            _set_header(found, body, sound)
            if found.size_wh[0] * found.size_wh[1] > max_pixels:
                return found
        elif kind == b"IDAT":
            data.append(body)
            damaged |= not sound and not found.cut
            size += len(body)
            if size > 2 * found.raw_size() + 2**20:
                raise ValueError("it holds more than its pixels need")
        elif kind == b"PLTE":
            palette = body
            if not sound:
                raise ValueError("its palette has a wrong checksum")
        elif kind == b"tRNS":
            # A damaged one is used all the same: what it hides must not be shown.
            found.transparency = body
            if not sound:
                found.notes.append("its tRNS chunk has a wrong checksum and is used all the same")
        elif not sound:
            found.notes.append(f"its {kind.decode()} chunk has a wrong checksum and is left out")
        elif kind in _BLOCKS:
            found.blocks.setdefault(kind, body)
        else:
            found.kept.append((kind, body))
    if not found.size_wh[0]:
        raise ValueError("its header is cut off")
    stream = b"".join(data)
    _check(found, stream, damaged)
    chunks = [(b"IHDR", _header(found))]
    if found.colour == 3:
        if not palette:
            raise ValueError("it has no palette")
        chunks.append((b"PLTE", palette))
    if found.transparency and found.depth < 16:
        chunks.append((b"tRNS", found.transparency))
    found.pixels = SIGNATURE + _packed([*chunks, (b"IDAT", stream), (b"IEND", b"")])
    return found


def _chunks(file: BinaryIO, found: PngFile) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield type, content and whether the checksum is right of the chunks that are of use."""
    end = file.seek(0, os.SEEK_END)
    file.seek(len(SIGNATURE))
    room = _MAX_KEPT
    for number in range(_MAX_CHUNKS):
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        found.cut = not kind or length + 4 > end - file.tell()
        if number == 0 and kind != b"IHDR":
            raise ValueError("it is Apple's own kind of PNG" if kind == b"CgBI" else "no header")
        if found.cut and kind == b"IDAT":
            length = min(length, end - file.tell())
        elif found.cut or not kind.isalpha():
            junk = bool(kind) and not kind.isalpha()
            found.cut = True
            found.notes.append(
                "something that is no PNG stands behind its pixels"
                if junk
                else "its end is missing, but all its pixels are there"
            )
            return
        if kind == b"IEND":
            return
        known = kind in (*_PIXELS, *_TEXTS, *_COLOURS, *_BLOCKS)
        if known and (kind in _PIXELS or length <= room):
            room -= 0 if kind in _PIXELS else length
            body = file.read(length)
            yield kind, body, file.read(4) == struct.pack(">I", zlib.crc32(kind + body))
            continue
        if known:
            found.notes.append(f"its {kind.decode()} chunk of {length:,} bytes is left out")
        elif not kind[0] & 32:
            found.notes.append(f"its chunk {kind.decode()} is of no known kind and left out")
        found.animated |= kind == b"acTL"
        found.content_credentials |= kind == b"caBX"
        file.seek(length + 4, os.SEEK_CUR)
    raise ValueError(f"it has more than {_MAX_CHUNKS:,} chunks")


def relabelled(png: PngFile) -> bytes:
    """Return 16-bit grey, with alpha or without, as twice as many 8-bit samples."""
    width, height = png.size_wh
    colour = {0: 4, 4: 6}[png.colour]
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, int(png.interlaced))
    return SIGNATURE + _packed([(b"IHDR", header)]) + png.pixels[_BEHIND_HEADER:]


def find_xmp(file: BinaryIO) -> bytes | None:
    """Return the XMP packet that stands before the pixels of a PNG file, or None.

    All else is passed over unread, so that a file of any size takes a moment.
    """
    start = XMP_KEYWORD + bytes(5)  # not compressed, no language
    file.seek(len(SIGNATURE))
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or kind in (b"IDAT", b"IEND"):
            return None
        if kind == b"iTXt" and length <= _MAX_KEPT:
            body = file.read(length)
            if body.startswith(start):
                return body[len(start) :]
            file.seek(4, os.SEEK_CUR)
        else:
            file.seek(length + 4, os.SEEK_CUR)
    return None


def inserted(png: bytes, chunks: Sequence[Chunk]) -> bytes:
    """Return a PNG file with further chunks behind its header."""
    return png[:_BEHIND_HEADER] + _packed(chunks) + png[_BEHIND_HEADER:]


def text_chunk(keyword: str, text: str) -> Chunk:
    """Return a text as a chunk: tEXt where Latin-1 is enough, else iTXt."""
    try:
        return b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1")
    except UnicodeEncodeError:
        name = keyword.encode("latin-1", "replace")
        return b"iTXt", name + b"\0\0\0\0\0" + text.encode("utf-8", "replace")


def encode(samples: NDArray[np.uint16]) -> bytes:
    """Return (H, W, C) 16-bit samples, C 1 to 4, as a PNG file."""
    height, width, channels = samples.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 2  # each byte less the one above it: half the time of choosing row by row
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    data = zlib.compress(filtered.tobytes(), 2)
    return SIGNATURE + _packed([(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")])


def _packed(chunks: Sequence[Chunk]) -> bytes:
    return b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _set_header(found: PngFile, body: bytes, sound: bool) -> None:
    if len(body) != 13 or not sound:
        raise ValueError("its header has a wrong checksum")
    width, height, depth, colour, packing, filters, lace = struct.unpack(">IIBBBBB", body)
    if depth not in _DEPTHS.get(colour, ()) or packing or filters or lace > 1:
        raise ValueError("its header tells of no kind of PNG")
    found.size_wh, found.depth, found.colour = (width, height), depth, colour
    found.interlaced = lace == 1


def _header(found: PngFile) -> bytes:
    lace = int(found.interlaced)
    return struct.pack(">IIBBBBB", *found.size_wh, found.depth, found.colour, 0, 0, lace)


def _check(found: PngFile, stream: bytes, damaged: bool) -> None:
    """Raise ValueError unless all pixels can be in the stream, or, where in doubt, are."""
    expected = found.raw_size()
    if len(stream) * _DEFLATE < expected:
        height, width = found.size_wh[::-1]
        raise ValueError(f"{len(stream):,} bytes cannot hold its {height} x {width} pixels")
    if not damaged and not found.cut:
        return
    unpacker, there, rest = zlib.decompressobj(), 0, stream
    try:
        while rest and not unpacker.eof:
            there += len(unpacker.decompress(rest, 2**20))
            rest = unpacker.unconsumed_tail
    except zlib.error as error:
        raise ValueError("its pixels are damaged") from error
    if there < expected:
        raise ValueError(f"{there:,} of {expected:,} bytes of its pixels are there")
    if damaged:
        if not unpacker.eof:
            raise ValueError("its pixels have a wrong checksum")
        found.notes.append("a checksum of its pixels is wrong, but another one is right")
