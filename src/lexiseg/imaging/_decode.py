"""From a file or PIL image to its samples, and what else it holds."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from lexiseg.errors import PictureError
from lexiseg.imaging import _exif, _formats, _heif, _jpeg, _pnm, _webp
from lexiseg.imaging._ifd import integers, read_directory, read_header, rewritten
from lexiseg.imaging._metadata import Metadata
from lexiseg.imaging._png import PngFile, read_chunks
from lexiseg.imaging._sixteen import png_samples, tiff_samples

__all__ = ["DAMAGE", "Decoded", "check_size", "decode_file", "decode_image", "open_header"]

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
_FIX = "copy or download it again"
_GREY = ("1", "L")


@dataclass
class Decoded:
    """samples: (H, W, C) uint8 or uint16: grey, grey and alpha, RGB or RGBA; not yet upright.

    mode: Pillow's name of the file's own kind of pixel. kind: name of the format, or None.
    """

    samples: NDArray[Any]
    mode: str
    kind: str | None = None
    metadata: Metadata = field(default_factory=Metadata)


def check_size(size_wh: tuple[int, int], name: str, max_pixels: int) -> None:
    """Raise PictureError for a picture without pixels, or with more than max_pixels."""
    width, height = size_wh
    if width < 1 or height < 1:
        raise PictureError(f"{name} has {height} x {width} pixels; give one with at least 1 x 1")
    if width * height > max_pixels:
        raise PictureError(
            f"{name} has {height} x {width} = {width * height:,} pixels (height x width), more "
            f"than the limit of {max_pixels:,}; where it is to be trusted, raise the limit with "
            f"--max-pixels {width * height}"
        )


def decode_file(file: BinaryIO, name: str, max_pixels: int) -> Decoded:
    """Return what an open picture file holds; raises PictureError, one line."""
    start = file.read(512)
    kind = _kind_of(start, name)
    try:
        if kind == "HEIF":
            return _from_heif(file, name, max_pixels)
        if kind == "PNG":
            return _from_png(read_chunks(file, max_pixels), name, max_pixels)
        if kind == "PPM":
            _, size, _, _ = _pnm.read_header(file)
            check_size(size, name, max_pixels)
            samples = _pnm.read_samples(file)
            return Decoded(samples, "RGB" if samples.shape[2] == 3 else "L", kind)
        if kind == "TIFF":
            return _from_tiff(file, name, max_pixels)
        return _from_pillow(file, kind, name, max_pixels)
    except DAMAGE as error:
        raise PictureError(f"{name} is damaged or cut off ({_reason(error)}); {_FIX}") from error


def open_header(file: BinaryIO, name: str, max_pixels: int) -> ImageFile.ImageFile:
    """Return Pillow's image of an open file, its header read, its size checked, no pixel decoded.

    Raises PictureError.
    """
    start = file.read(512)
    kind = _kind_of(start, name)
    if _formats.FORMATS[kind].plugin is None:
        raise PictureError(f"{name} is {kind}; save it as PNG")
    if kind == "WEBP":  # libwebp makes room for the pixels when the header is read
        check_size(_webp.size_of(start) or (1, 1), name, max_pixels)
    try:
        image = _formats.opened(kind, file)
    except DAMAGE as error:
        raise PictureError(
            f"{name} begins like a {kind} picture, but its header is damaged or of a kind "
            f"that is not read ({_reason(error)}); export it again as JPEG or PNG"
        ) from error
    check_size(image.size, name, max_pixels)
    return image


def decode_image(image: Image.Image, name: str) -> Decoded:
    """Return what a PIL image holds, its size being checked; raises PictureError, one line."""
    metadata = Metadata()
    try:
        several = bool(getattr(image, "is_animated", False))
        with _formats.quiet():
            # As they are now, not as the file has them: whoever hands in an image may have
            # changed them. A TIFF's own are turned upright by Pillow, pixels too.
            exif = image.getexif()
            block = exif.tobytes() if len(exif) else None
            image.load()
        metadata.add_icc(image.info.get("icc_profile"))
        if image.format == "TIFF" and block is not None:
            block = _exif.without_storage(block)
        metadata.add_exif(block)
        if image.format == "TIFF":
            metadata.orientation = 1
        metadata.add_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
        if several:
            metadata.note_frames()
        samples = _samples(image, name, metadata)
    except DAMAGE as error:
        raise PictureError(f"{name} is damaged or cut off ({_reason(error)}); {_FIX}") from error
    return Decoded(samples, image.mode, image.format, metadata)


def _samples(image: Image.Image, name: str, metadata: Metadata) -> NDArray[Any]:
    """Return the samples of a loaded PIL image, (H, W, C): 1 grey, 2 with alpha, 3 RGB, 4 RGBA."""
    mode = image.mode
    if mode.startswith("I;16"):
        grey = np.array(image).astype(np.uint16)
        key = image.info.get("transparency")
        if not isinstance(key, int):
            return grey[:, :, None]
        return np.dstack([grey, np.where(grey == key, 0, 65_535).astype(np.uint16)])
    if mode == "I":
        whole = np.array(image)
        if whole.min() >= 0 and whole.max() < 65_536:
            return whole.astype(np.uint16)[:, :, None]
    if mode == "F" or mode == "I":
        raise PictureError(
            f"{name} holds pixels of kind {mode} beyond 0 to 65535, whose black and white "
            "are unknown; scale it to 8 or 16 bits first"
        )
    if mode == "La":  # grey times its alpha
        image = image.convert("LA")
    elif mode in ("PA", "RGBa") or (mode != "LA" and "transparency" in image.info):
        image = image.convert("RGBA")
    elif mode in ("CMYK", "LAB"):
        image = _to_srgb(image, metadata)
    elif mode in _GREY:
        image = image.convert("L")
    elif mode not in ("LA", "RGB", "RGBA"):  # converting copies, and large photos are large
        image = image.convert("RGB")
    array = np.array(image)
    return array if array.ndim == 3 else array[:, :, None]


def _kind_of(start: bytes, name: str) -> str:
    kind = _formats.sniff(start)
    if kind is None:
        raise PictureError(
            f"{name} is not a picture that lexiseg reads{_formats.guess(start)}; give a "
            f"{_formats.READABLE} file"
        )
    if kind == "AVIF" and not _formats.plugin_there(_formats.FORMATS[kind]):
        raise PictureError(f"{name} is AVIF, which Pillow reads from 11.3 on; update Pillow")
    return kind


def _from_pillow(file: BinaryIO, kind: str, name: str, max_pixels: int) -> Decoded:
    metadata = Metadata()
    if kind == "WEBP" and (whole := _webp.with_right_length(file)) is not None:
        file = whole
        metadata.notes.append("it is shorter than it says")
    file.seek(0)
    image = open_header(file, name, max_pixels)
    mode = image.mode
    metadata.add_icc(image.info.get("icc_profile"))
    metadata.add_exif(image.info.get("exif"))
    metadata.add_xmp(image.info.get("xmp"))
    if kind == "JPEG":
        metadata.add_jpeg(image)
        image = _whole_jpeg(image, file, metadata)
    elif kind == "AVIF" and (bits := _avif_bits(file)) > 8:
        metadata.notes.append(f"its {bits} bits a channel were read as 8")
    elif kind == "WEBP":
        metadata.lossless = _webp.is_lossless(file)
    elif kind == "GIF":
        comment = image.info.get("comment")
        metadata.comment = comment if isinstance(comment, bytes) and comment else None
    elif kind == "BMP" and "dpi" in image.info and all(image.info["dpi"]):
        metadata.dpi = image.info["dpi"]
    # Asked before the pixels are decoded: a GIF goes on to its next frame for the answer.
    if getattr(image, "is_animated", False):
        metadata.note_frames()
    image.load()
    samples = _samples(image, name, metadata)
    if kind == "BMP" and samples.shape[2] == 4 and not samples[:, :, 3].any():
        samples = samples[:, :, :3]  # its fourth byte is unused, as Windows writes it
    return Decoded(samples, mode, kind, metadata)


def _from_png(png: PngFile, name: str, max_pixels: int) -> Decoded:
    check_size(png.size_wh, name, max_pixels)
    metadata = Metadata()
    metadata.add_png(png)
    if png.animated:
        metadata.note_frames()
    image = _formats.opened("PNG", io.BytesIO(png.pixels))
    if png.depth == 16:
        return Decoded(png_samples(png), image.mode, "PNG", metadata)
    image.load()
    return Decoded(_samples(image, name, metadata), image.mode, "PNG", metadata)


def _from_heif(file: BinaryIO, name: str, max_pixels: int) -> Decoded:
    heif = _heif.opened(file, name)
    check_size(heif.size_wh, name, max_pixels)
    metadata = Metadata()
    metadata.add_icc(heif.info.get("icc_profile"))
    metadata.add_exif(heif.info.get("exif"))
    metadata.orientation = 1  # libheif turns pictures upright
    metadata.add_xmp(heif.info.get("xmp"))
    if heif.frames > 1:
        metadata.note_frames()
    samples = heif.samples()
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
    return Decoded(samples, mode, "HEIF", metadata)


def _whole_jpeg(
    image: ImageFile.ImageFile, file: BinaryIO, metadata: Metadata
) -> ImageFile.ImageFile:
    """Return a JPEG with its pixels loaded, by completed bytes where its end is missing."""
    file.seek(0)
    _jpeg.check_work(image.size, file.read(), bool(image.info.get("progressive")))
    file.seek(0)
    try:
        image.load()
    except DAMAGE:
        file.seek(0)
        whole = _jpeg.complete(file.read())
        if whole is None:
            raise
        image = _formats.opened("JPEG", io.BytesIO(whole))
        metadata.notes.append("its end is missing, but all its pixels are there")
    return image


def _from_tiff(file: BinaryIO, name: str, max_pixels: int) -> Decoded:
    metadata = Metadata()
    metadata.add_tiff(file)
    header = read_header(file)
    first, _ = read_directory(file, header, header.first)
    sides = [(*integers(first.get(tag), header.order), 0)[0] for tag in (256, 257)]
    check_size((sides[0], sides[1]), name, max_pixels)
    count = integers(first.get(277), header.order) or (7 if 277 in first else 1,)
    if count[0] > 6:  # Pillow would log an error, too
        raise ValueError(f"it has {count[0]} samples a pixel")
    preview = (*integers(first.get(254), header.order), 0)[0] & 1 and 330 in first
    if preview or 50706 in first:
        raise PictureError(
            f"{name} is a camera's raw file, of which a small preview alone could be read; develop "
            "it to TIFF or JPEG"
        )
    samples, upright = tiff_samples(file, header, first)
    if samples is not None:
        if upright:
            metadata.note_turned()
        mode = {1: "I;16", 2: "LA", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
        return Decoded(samples, mode, "TIFF", metadata)
    if header.big and header.order == ">":  # which Pillow takes for plain TIFF
        file = rewritten(file, header, first)
    file.seek(0)
    image = open_header(file, name, max_pixels)
    mode = image.mode
    metadata.note_turned()
    with _formats.quiet():
        image.load()
    return Decoded(_samples(image, name, metadata), mode, "TIFF", metadata)


def _to_srgb(image: Image.Image, metadata: Metadata) -> Image.Image:
    """Return a CMYK or Lab image as sRGB: by its profile where it has one, else by the formula."""
    from PIL import ImageCms

    screen = ImageCms.createProfile("sRGB")
    turned = None
    if image.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        turned = ImageCms.profileToProfile(image, lab, screen, outputMode="RGB")
        metadata.notes.append("its Lab colours were turned into sRGB")
    elif metadata.ink_icc is not None:
        try:
            ink = ImageCms.ImageCmsProfile(io.BytesIO(metadata.ink_icc))
            turned = ImageCms.profileToProfile(image, ink, screen, outputMode="RGB")
            metadata.notes.append("its ink colours (CMYK) were turned into sRGB by its profile")
        except (ImageCms.PyCMSError, OSError):  # a damaged profile is no reason to refuse the photo
            metadata.notes.append("its colour profile is damaged and left out")
    metadata.icc = None
    if image.mode == "CMYK" and turned is None:
        metadata.notes.append("its ink colours (CMYK) were turned into RGB without a profile")
    metadata.unkept.append("its ink or Lab colours, which are RGB now")
    return image.convert("RGB") if turned is None else turned


def _avif_bits(file: BinaryIO) -> int:
    """Bits a channel that the header of an AVIF file tells of."""
    file.seek(0)
    start = file.read(16_384)
    at = start.find(b"pixi")
    channels = start[at + 8] if 0 <= at < len(start) - 12 else 0
    return max(start[at + 9 : at + 9 + channels], default=8) if 0 < channels < 5 else 8


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
