"""What a picture file holds beside its pixels, cleaned of what would be wrong after an edit."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from PIL import Image

from lexiseg.imaging import _exif
from lexiseg.imaging._ifd import integers, read_directory, read_header
from lexiseg.imaging._png import XMP_KEYWORD, Chunk, PngFile

__all__ = ["NO_EXTRAS", "Extras", "Metadata", "clean_xmp"]

_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
_RAW_PROFILES = tuple(b"Raw profile type " + name for name in (b"exif", b"APP1", b"xmp"))
_MAX_BLOCK = 16 * 2**20  # bytes of a profile, an EXIF block or a packet, unpacked
_INCH = 0.0254  # metres
_THUMBNAILS = re.compile(rb"<([\w.-]{1,40}:Thumbnails)[\s>]")
_XMP_ORIENTATION = re.compile(rb"(:Orientation(?:\s*=\s*[\"']|>))\s*[2-8]\s*(?=[\"'<])")


@dataclass(frozen=True)
class Extras:
    """What else a file held, for whoever writes it back.

    iptc: IPTC-IIM record (keywords, rights). comment: of a JPEG or GIF. grey_icc: profile of a grey
    file. chunks: PNG's texts and what it tells of colours, as type and content. lossless: a WebP
    file that was. unkept: what a Picture does not keep, such as further frames.
    """

    iptc: bytes | None = None
    comment: bytes | None = None
    grey_icc: bytes | None = None
    chunks: tuple[Chunk, ...] = ()
    lossless: bool = False
    unkept: tuple[str, ...] = ()


NO_EXTRAS = Extras()


@dataclass
class Metadata:
    """The same while it is gathered, with profile, EXIF, XMP, resolution and remarks."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    grey_icc: bytes | None = None
    ink_icc: bytes | None = None
    chunks: list[Chunk] = field(default_factory=list)
    lossless: bool = False
    unkept: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    orientation: int = 1

    def extras(self) -> Extras:
        """Return what has no field of its own in a Picture."""
        return Extras(
            iptc=self.iptc,
            comment=self.comment,
            grey_icc=self.grey_icc,
            chunks=tuple(self.chunks),
            lossless=self.lossless,
            unkept=tuple(dict.fromkeys(self.unkept)),
        )

    def add_icc(self, profile: Any) -> None:
        """Take a colour profile: of RGB, of grey, or of ink, by which RGB is made."""
        if not isinstance(profile, bytes) or not profile:
            return
        sound = 128 < len(profile) <= _MAX_BLOCK and profile[36:40] == b"acsp"
        if not sound or struct.unpack(">I", profile[:4])[0] > len(profile):
            self.notes.append("its colour profile is damaged and left out")
            return
        space = profile[16:20]
        if space == b"RGB ":
            self.icc = profile
        elif space == b"GRAY":
            self.grey_icc = profile
        elif space == b"CMYK":
            self.ink_icc = profile
        elif space != b"Lab ":  # Lab has one meaning; its profile adds nothing
            kind = space.decode("ascii", "replace").strip()
            self.notes.append(f"its colour profile is of another kind ({kind}) and left out")

    def add_exif(self, block: Any) -> None:
        """Take an EXIF block: orientation and resolution are read, thumbnails go."""
        if not isinstance(block, bytes) or not _exif.body_of(block).strip(b"\0"):
            return
        try:
            if len(block) > _MAX_BLOCK:
                raise ValueError("too large")
            self.exif, self.orientation = _exif.clean(block)
            if self.exif is not None and self.dpi is None:
                self.dpi = _exif.resolution(self.exif)
        except (ValueError, struct.error, LookupError):
            self.exif = None
            self.notes.append("its EXIF block is damaged and left out")

    def add_xmp(self, packet: Any) -> None:
        """Take an XMP packet."""
        if isinstance(packet, str):
            packet = packet.encode()
        if isinstance(packet, bytes) and packet.strip(b"\0 \n"):
            if len(packet) > _MAX_BLOCK:
                self.notes.append(f"its XMP packet of {len(packet):,} bytes is left out")
            else:
                self.xmp = clean_xmp(packet)

    def add_jpeg(self, image: Image.Image) -> None:
        """Take what the segments of a JPEG file hold."""
        info = image.info
        if info.get("jfif_unit") in (1, 2) and all(info["jfif_density"]):
            factor = 2.54 if info["jfif_unit"] == 2 else 1.0
            self.dpi = info["jfif_density"][0] * factor, info["jfif_density"][1] * factor
        record = info.get("photoshop", {}).get(0x0404)
        self.iptc = record if isinstance(record, bytes) and record else None
        comment = info.get("comment")
        self.comment = comment if isinstance(comment, bytes) and comment else None
        for segment, content in getattr(image, "applist", ()):
            if segment == "APP1" and content.startswith(b"http://ns.adobe.com/xmp/extension/"):
                self.unkept.append("the second part of its XMP packet")
            if segment == "APP1" and b"hdrgm:Version" in content:
                self.unkept.append("its gain map (HDR)")
            if segment == "APP11" and b"c2pa" in content[:256]:
                self.unkept.append("its content credentials (C2PA), which tell of unchanged pixels")

    def add_png(self, png: PngFile) -> None:
        """Take what the chunks of a PNG file hold."""
        self.notes += png.notes
        if b"iCCP" in png.blocks:
            body = png.blocks[b"iCCP"].partition(b"\0")[2][1:]
            self.add_icc(_unpacked(body) or b"damaged")
        self.add_exif(png.blocks.get(b"eXIf"))
        resolution = png.blocks.get(b"pHYs", b"")
        if len(resolution) == 9:
            x, y, unit = struct.unpack(">IIB", resolution)
            if unit == 1 and x and y:
                self.dpi = x * _INCH, y * _INCH
        for kind, body in png.kept:
            if kind == b"iTXt" and body.startswith(XMP_KEYWORD + b"\0"):
                self.add_xmp(_international(body))
            elif not self._add_raw_profile(kind, body):
                self.chunks.append((kind, body))
        if png.content_credentials:
            self.unkept.append("its content credentials (C2PA), which tell of unchanged pixels")

    def _add_raw_profile(self, kind: bytes, body: bytes) -> bool:
        """Take EXIF or XMP that ImageMagick wrote as hexadecimal text; tell whether it was that."""
        keyword, _, text = body.partition(b"\0")
        if kind == b"iTXt" or keyword not in _RAW_PROFILES:
            return False
        text = (_unpacked(text[1:]) or b"") if kind == b"zTXt" else text
        try:  # its name, its length, then the bytes
            block = bytes.fromhex(text.decode("ascii").strip().split("\n", 2)[2])
        except (ValueError, IndexError):
            return False
        if block.startswith(_XMP_SEGMENT) or keyword.endswith(b"xmp"):
            self.add_xmp(block.removeprefix(_XMP_SEGMENT))
        elif self.exif is None:
            self.add_exif(block)
        return True

    def add_tiff(self, file: BinaryIO) -> None:
        """Take what the first directory of a TIFF file holds; its pixels are upright already."""
        try:
            header = read_header(file)
            first, following = read_directory(file, header, header.first)
            self.exif, self.orientation, self.dpi = _exif.from_tiff(file)
        except (ValueError, struct.error, LookupError):
            self.notes.append("its tags are damaged and left out")
            return
        blocks = {tag: first[tag].data for tag in (700, 33723, 34675) if tag in first}
        self.add_xmp(blocks.get(700))
        self.add_icc(blocks.get(34675))
        self.iptc = blocks.get(33723)
        if following:
            self.note_frames()
        if integers(first.get(37724), header.order) or 37724 in first:
            self.unkept.append("its Photoshop layers")

    def note_turned(self) -> None:
        """Note that the pixels are upright already, turned by Pillow."""
        if 2 <= self.orientation <= 8:
            self.notes.append(f"turned upright by its EXIF orientation ({self.orientation})")
        self.orientation = 1

    def note_frames(self) -> None:
        """Note that there is more than one frame or page."""
        self.notes.append("holds several frames or pages: the first is used")
        self.unkept.append("its further frames or pages")


def clean_xmp(packet: bytes) -> bytes:
    """Return an XMP packet without thumbnails, which are of the unedited picture, and upright."""
    parts, at = [], 0
    while (hit := _THUMBNAILS.search(packet, at)) is not None:
        end = packet.find(b"</" + hit[1], hit.end())
        if end < 0:
            break
        parts.append(packet[at : hit.start()])
        at = packet.find(b">", end) + 1 or len(packet)
    return _XMP_ORIENTATION.sub(rb"\g<1>1", b"".join([*parts, packet[at:]]))


def _unpacked(data: bytes) -> bytes | None:
    unpacker = zlib.decompressobj()
    try:
        out = unpacker.decompress(data, _MAX_BLOCK)
    except zlib.error:
        return None
    return None if unpacker.unconsumed_tail else out


def _international(body: bytes) -> bytes | None:
    """The text of an iTXt chunk."""
    parts = body.split(b"\0", 1)[1]
    packed, parts = parts[:1] == b"\1", parts[2:]
    text = parts.split(b"\0", 2)[-1]
    return _unpacked(text) if packed else text
