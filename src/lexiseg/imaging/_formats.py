"""Which kinds of picture file there are: by their first bytes, and by the ends of their names."""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import BinaryIO

from PIL import Image, ImageFile

__all__ = [
    "FORMATS",
    "READABLE",
    "SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Format",
    "format_of_path",
    "guess",
    "is_picture",
    "opened",
    "plugin_there",
    "quiet",
    "sniff",
]


@dataclass(frozen=True)
class Format:
    """What files of one kind can hold.

    suffixes: how their names end. plugin: Pillow's module that reads their headers, where one does.
    writable: whether lexiseg writes them. max_side: longest side in pixels.
    """

    name: str
    suffixes: tuple[str, ...]
    plugin: str | None = None
    writable: bool = False
    alpha: bool = False
    sixteen_bits: bool = False
    texts: bool = False
    comment: bool = False
    iptc: bool = False
    max_side: int = 2**31 - 1


# Pillow reads some forty formats more, many of them old and rarely looked after.
FORMATS = {
    one.name: one
    for one in (
        Format(
            "PNG",
            (".png",),
            "PngImagePlugin",
            writable=True,
            alpha=True,
            sixteen_bits=True,
            texts=True,
            comment=True,
        ),
        Format(
            "JPEG",
            (".jpg", ".jpeg", ".jpe", ".jfif"),
            "JpegImagePlugin",
            writable=True,
            comment=True,
            iptc=True,
            max_side=65_500,  # of libjpeg
        ),
        Format("WEBP", (".webp",), "WebPImagePlugin", writable=True, alpha=True, max_side=16_383),
        Format(
            "TIFF",
            (".tif", ".tiff"),
            "TiffImagePlugin",
            writable=True,
            alpha=True,
            sixteen_bits=True,
            iptc=True,
        ),
        Format("AVIF", (".avif",), "AvifImagePlugin", writable=True, alpha=True, max_side=65_536),
        Format("BMP", (".bmp",), "BmpImagePlugin"),
        Format("GIF", (".gif",), "GifImagePlugin"),
        Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), "PpmImagePlugin"),
        Format("HEIF", (".heic", ".heif", ".hif")),
    )
}
READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, AVIF or HEIC"
SUFFIXES = frozenset(suffix for one in FORMATS.values() for suffix in one.suffixes)
WRITABLE_SUFFIXES = tuple(
    suffix for one in FORMATS.values() if one.writable for suffix in one.suffixes
)
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}
_CONTAINER_BRANDS = {b"mif1", b"msf1", b"miaf", b"mif2"}
_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"MM*\0": "TIFF",
    b"II\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    **{b"P%d" % number: "PPM" for number in range(1, 7)},
}
_OTHERS = {
    b"%PDF": "a PDF; export the page as PNG",
    b"\xff\x0a": "JPEG XL; export it as JPEG or PNG",
    b"\0\0\0\x0cJXL ": "JPEG XL; export it as JPEG or PNG",
    b"\0\0\0\x0cjP  ": "JPEG 2000; export it as JPEG or PNG",
    b"8BPS": "a Photoshop document; export it as TIFF or PNG",
    b"IIRO": "a camera's raw file; develop it to TIFF or JPEG",
    b"IIU\0": "a camera's raw file; develop it to TIFF or JPEG",
    b"FUJIFILMCCD-RAW": "a camera's raw file; develop it to TIFF or JPEG",
    b"\x1aE\xdf\xa3": "a video; give single frames",
    b"v/1\x01": "OpenEXR; export it as 16-bit TIFF or PNG",
    b"\0\0\1\0": "an icon; export it as PNG",
    b"PK\3\4": "a ZIP archive; unpack it",
}
_LOCK = threading.Lock()


def sniff(start: bytes) -> str | None:
    """Return the name of the format that a file with these first bytes, 512 or so, is of."""
    for beginning, name in _STARTS.items():
        if start.startswith(beginning):
            return name
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        size = int.from_bytes(start[:4], "big")
        listed = start[16 : min(size, 512)]
        brands = [start[8:12], *(listed[at : at + 4] for at in range(0, len(listed), 4))]
        # The main brand may be that of the container alone; the list tells what is inside.
        for known, name in ((_AVIF_BRANDS, "AVIF"), (_HEIF_BRANDS, "HEIF")):
            if known & set(brands):
                return name
        return "HEIF" if brands[0] in _CONTAINER_BRANDS else None
    return None


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file begins like a picture that is read; False where it cannot be opened.

    For files whose names tell nothing: two letters, as PPM and BMP begin, are not enough.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(512)
    except (OSError, ValueError):
        return False
    kind = sniff(start)
    return kind not in (None, "PPM") and (kind != "BMP" or start[6:10] == bytes(4))


def guess(start: bytes) -> str:
    """Return a remark on what a file of no known format may be, or an empty string."""
    for beginning, what in _OTHERS.items():
        if start.startswith(beginning):
            return f" (it is {what})"
    if start[4:8] == b"ftyp":
        return " (it is a video; give single frames)"
    if start.lstrip().lower().startswith((b"<svg", b"<?xml", b"<!doctype", b"<html")):
        return " (it is SVG, HTML or XML text)"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in start):
        return " (it is text)"
    return ""


def format_of_path(suffix: str) -> Format | None:
    """Return the format that lexiseg writes into a file whose name ends so, or None."""
    for one in FORMATS.values():
        if one.writable and suffix.lower() in one.suffixes:
            return one if plugin_there(one) else None
    return None


def plugin_there(kind: Format) -> bool:
    """Tell whether this Pillow has what it takes: older ones have no AVIF."""
    if kind.plugin is None:
        return True
    try:
        import_module(f"PIL.{kind.plugin}")
    except ImportError:
        return False
    return kind.name in Image.SAVE or not kind.writable


def opened(kind: str, file: BinaryIO) -> ImageFile.ImageFile:
    """Return Pillow's image of a file, its header read and no pixel decoded.

    Not by Image.open, whose own pixel limit could only be raised for the whole process. Raises what
    Pillow raises.
    """
    plugin = FORMATS[kind].plugin
    import_module(f"PIL.{plugin}")
    factory, _ = Image.OPEN[kind]
    file.seek(0)
    with quiet():
        # No name: Pillow would map a named file into memory, and a file that another program
        # shortens meanwhile would end the process.
        return factory(file, "")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow and libtiff from telling stderr of odd files; a picture's notes tell of them.

    Python's filters and libtiff's handler are of the whole process: threads take turns.
    """
    handler = _error_handler()
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = None if handler is None else handler(None)
        try:
            yield
        finally:
            if handler is not None:
                handler(before)


@cache
def _error_handler() -> Callable[[int | None], int | None] | None:
    """Return the function that sets where libtiff tells of errors, if it is in reach."""
    try:
        function = ctypes.CDLL(import_module("PIL._imaging").__file__).TIFFSetErrorHandler
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_void_p]
    found: Callable[[int | None], int | None] = function
    return found
