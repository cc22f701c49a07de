"""From a file or PIL image to upright 8-bit RGB and what else it held."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from lexiseg.errors import PictureError

__all__ = ["DAMAGE", "Pixels", "decode", "open_header", "to_eight_bits"]

# Pillow reads some forty formats more, many of them old and rarely looked after.
_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "PPM": "PpmImagePlugin",
    "AVIF": "AvifImagePlugin",
}
_READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, PPM or AVIF"
_ORIENTATION = 0x0112
_XMP_TAG = 700
# What Pillow's decoders raise on damaged files.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, eq=False)
class Pixels:
    """What `decode` found; the fields are those of `Picture`."""

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    mode: str
    icc: bytes | None
    exif: bytes | None
    deep: NDArray[np.uint16] | None
    notes: tuple[str, ...]
    xmp: bytes | None = None


def open_header(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    """Return the PIL image of an open file with its header read and no pixel decoded.

    Only the formats above are tried. Not by Image.open, whose own pixel limit could only be
    raised for the whole process.
    """
    start = file.read(512)
    for kind, plugin in _PLUGINS.items():
        try:
            import_module(f"PIL.{plugin}")
        except ImportError:  # an older Pillow, which has no AVIF
            continue
        factory, accept = Image.OPEN[kind]
        if accept is None or accept(start[:16]) is not True:
            continue
        file.seek(0)
        try:
            return factory(file, name)
        except DAMAGE as error:
            raise PictureError(
                f"{name!r} begins like a {kind} picture, but its header is damaged or of a kind "
                f"that is not read ({error}); export it again as JPEG or PNG"
            ) from error
    raise PictureError(
        f"{name!r} is not a picture that lexiseg reads{_looks_like(start)}; give a {_READABLE} file"
    )


def decode(image: Image.Image, name: str, file: BinaryIO | None = None) -> Pixels:
    """Return the upright pixels of a PIL image whose size was checked.

    file: the open file behind it, from which 16-bit colour is read, which Pillow cuts to 8.
    """
    notes: list[str] = []
    kind = image.format
    try:
        exif = image.getexif()
        orientation = int(exif.get(_ORIENTATION, 1))
    except DAMAGE:
        exif, orientation = Image.Exif(), 1
        notes.append("its EXIF block is damaged and left out")
    try:
        sixteen, apart = _layout(image, file)
        image.load()
        several = bool(getattr(image, "is_animated", False))
        deep = _sixteen_bits(image, file if sixteen else None)
        rgb, alpha = _eight_bits(image, deep, name)
    except DAMAGE as error:
        raise PictureError(
            f"{name} is damaged or cut off ({error}); copy or download it again"
        ) from error
    if sixteen and apart and deep is None:
        raise PictureError(
            f"{name} is a TIFF of 16 bits with one plane a colour, which is not read safely; save "
            "it with its planes interleaved, or as PNG"
        )
    if several:
        notes.append("holds several frames or pages: the first is used")
    if sixteen and deep is None:
        notes.append("its 16 bits a channel were read as 8")
    if deep is not None and int(deep.max()) < 4096:
        notes.append(f"a 16-bit picture that is dark: its values end at {deep.max()} of 65535")
    if kind == "TIFF":
        # Pillow and OpenCV turn TIFF upright themselves; its tags are no EXIF block.
        exif, turned, orientation = Image.Exif(), orientation, 1
    else:
        turned = orientation
    if 2 <= turned <= 8:
        notes.append(f"turned upright by its EXIF orientation ({turned})")
    icc = image.info.get("icc_profile")
    return Pixels(
        rgb=_upright(rgb, orientation),
        alpha=None if alpha is None else _upright(alpha, orientation),
        mode=image.mode,
        # A profile of ink or of grey does not describe the RGB that was made of it.
        icc=icc if isinstance(icc, bytes) and icc[16:20] == b"RGB " else None,
        exif=_exif_bytes(exif),
        deep=None if deep is None else _upright(deep, orientation),
        notes=tuple(notes),
        xmp=_xmp_bytes(image),
    )


def to_eight_bits(deep: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return 16-bit values as 8-bit ones, divided by 257 and rounded: 65535 becomes 255."""
    table = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
    return table[deep]


def _eight_bits(
    image: Image.Image, deep: NDArray[np.uint16] | None, name: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return rgb, (H, W, 3), and alpha, (H, W) or None, of a loaded image, not yet upright."""
    if deep is not None:
        flat = to_eight_bits(deep)
        if flat.shape[2] == 1:
            return flat.repeat(3, axis=2), None
        alpha = flat[:, :, 3].copy() if flat.shape[2] == 4 else None
        return np.ascontiguousarray(flat[:, :, :3]), alpha
    if image.mode == "F" or image.mode.startswith("I"):
        raise PictureError(
            f"{name} holds pixels of kind {image.mode} beyond 0 to 65535, whose black and white "
            "are unknown; scale it to 8 or 16 bits first"
        )
    if image.mode == "La":  # grey times its alpha; RGBA is reached over LA alone
        image = image.convert("LA")
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = np.array(image.convert("RGBA"))
        return np.ascontiguousarray(rgba[:, :, :3]), rgba[:, :, 3].copy()
    if image.mode == "CMYK":
        image = _without_ink(image)
    if image.mode != "RGB":  # converting copies, and large photos are large
        image = image.convert("RGB")
    return np.array(image), None


def _sixteen_bits(image: Image.Image, file: BinaryIO | None) -> NDArray[np.uint16] | None:
    """Return the 16-bit values, (H, W, C), of a loaded image, or None where it has none.

    file: given where the header says 16 bits.
    """
    if image.mode.startswith("I;16"):
        return np.array(image).astype(np.uint16)[:, :, None]
    if image.mode == "I":
        whole = np.array(image)
        return (
            whole.astype(np.uint16)[:, :, None] if 0 <= whole.min() <= whole.max() < 65536 else None
        )
    if file is None:
        return None
    import cv2

    file.seek(0)
    try:
        found = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if found is None or found.dtype != np.uint16 or found.ndim != 3:
        return None
    deep = np.ascontiguousarray(found[:, :, [2, 1, 0, 3][: found.shape[2]]], np.uint16)
    # Both libraries must have read the same picture: OpenCV mixes up TIFFs with separate planes.
    eight = np.asarray(image)
    if eight.shape != deep.shape or ((deep >> 8).astype(np.uint8) != eight).any():
        return None
    return deep


def _without_ink(image: Image.Image) -> Image.Image:
    """Return a CMYK image as sRGB: by its profile where it has one, else by the plain formula."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or profile[16:20] != b"CMYK":
        return image.convert("RGB")
    try:
        ink = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        screen = ImageCms.createProfile("sRGB")
        turned = ImageCms.profileToProfile(image, ink, screen, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # a damaged profile is no reason to refuse the photo
        turned = None
    return image.convert("RGB") if turned is None else turned


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return (H, W, ...) turned as the EXIF orientation, 1 to 8, asks; others change nothing."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _exif_bytes(exif: Image.Exif) -> bytes | None:
    """Return the EXIF block, marked upright, or None where there is none or it is damaged."""
    if not len(exif):
        return None
    try:
        own = Image.Exif()  # a copy: a caller's PIL image keeps its own
        own.load(exif.tobytes())
        if _ORIENTATION in own:
            own[_ORIENTATION] = 1
        return own.tobytes()
    except DAMAGE:
        return None


def _xmp_bytes(image: Image.Image) -> bytes | None:
    """Return the XMP packet, which says among other things whether a picture was generated."""
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if found is None and image.format == "TIFF":
        found = getattr(image, "tag_v2", {}).get(_XMP_TAG)
    if isinstance(found, str):
        found = found.encode()
    return found if isinstance(found, bytes) else None


def _layout(image: Image.Image, file: BinaryIO | None) -> tuple[bool, bool]:
    """Tell of an unloaded file whether it has 16 bits a channel, and one plane a colour."""
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        return 16 in tags.get(258, ()), tags.get(284, 1) == 2 and len(tags.get(258, ())) > 1
    if image.format != "PNG" or file is None:
        return False, False
    place = file.tell()
    file.seek(24)  # the depth in its IHDR
    depth = file.read(1)
    file.seek(place)
    return depth == b"\x10", False


def _looks_like(start: bytes) -> str:
    """Return a remark on what a file may be, from its first bytes, or an empty string."""
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return " (it is HEIC; export it as JPEG)"
    if start.startswith(b"%PDF"):
        return " (it is a PDF; export the page as PNG)"
    if start.lstrip().lower().startswith((b"<svg", b"<?xml", b"<!doctype", b"<html")):
        return " (it is SVG, HTML or XML text)"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in start):
        return " (it is text)"
    return ""
