"""From arrays to picture files."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lexiseg.errors import OutputError
from lexiseg.imaging._files import write_bytes

__all__ = ["write"]

_KINDS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_XMP_KEY, _XMP_TAG = "XML:com.adobe.xmp", 700  # in PNG and in TIFF
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 3},  # half the time of 6, for files a little larger
    "JPEG": {"quality": 95, "subsampling": 0},  # thin outlines keep their colour
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}


def write(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    *,
    palette: ArrayLike | None = None,
    metadata: Mapping[str, str] | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> None:
    """Write an array as the kind of picture that the name ends in: png, jpg, webp or tif.

    array: uint8 (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA; bool (H, W), written as 0 and 255;
        uint16 (H, W) to png and tif, (H, W, 3) and (H, W, 4) to png.
    palette: (P, 3) uint8 RGB, P <= 256; makes a uint8 (H, W) array indices into it; png alone.
    metadata: texts by their keyword, such as "Software"; png alone.
    icc, exif, xmp: colour profile, EXIF block and XMP packet, as `Picture` keeps them.

    The file is written whole or not at all. Raises OutputError.
    """
    path = Path(path)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(
            f"{str(path)!r} ends in {path.suffix!r}; end it in one of {', '.join(_KINDS)}"
        )
    if kind != "PNG" and (palette is not None or metadata):
        raise OutputError(f"{str(path)!r}: only PNG holds a palette or texts; end it in .png")
    array = np.asarray(array)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    flat = array.ndim == 2
    if (
        not array.size
        or array.dtype not in (np.uint8, np.uint16)
        or not (flat or (array.ndim == 3 and array.shape[2] in (3, 4)))
    ):
        raise OutputError(
            f"{str(path)!r}: an array of {array.dtype} {array.shape}; give (H, W), (H, W, 3) or "
            "(H, W, 4), uint8, or uint16"
        )
    if kind == "JPEG" and not flat and array.shape[2] == 4:
        raise OutputError(f"{str(path)!r}: JPEG has no transparency; end the name in .png")
    if array.dtype == np.uint16 and kind != "PNG" and not (flat and kind == "TIFF"):
        raise OutputError(f"{str(path)!r}: this kind of file has no 16 bits; end it in .png")
    texts = PngInfo()
    for key, value in (metadata or {}).items():
        texts.add_text(key, value)
    if xmp is not None and kind == "PNG":
        texts.add_itxt(_XMP_KEY, xmp.decode("utf-8", "replace"))
    if array.dtype == np.uint16 and not flat:
        write_bytes(path, _deep_png(array, texts, icc, exif))
        return
    options = dict(_OPTIONS[kind])
    if icc is not None:
        options["icc_profile"] = icc
    if exif is not None:
        options["exif"] = exif
    if xmp is not None and kind == "TIFF":
        options["tiffinfo"] = {_XMP_TAG: xmp}
    elif xmp is not None and kind != "PNG":
        options["xmp"] = xmp
    if kind == "PNG":
        options["pnginfo"] = texts
    image = Image.fromarray(np.ascontiguousarray(array))
    if palette is not None:
        image = _indexed(image, array, np.asarray(palette), path)
    data = io.BytesIO()
    try:
        image.save(data, kind, **options)
    except (OSError, ValueError, struct.error) as error:
        height, width = array.shape[:2]
        raise OutputError(
            f"{str(path)!r}: {height} x {width} pixels cannot be written as {kind} ({error}); "
            "end the name in .png"
        ) from error
    write_bytes(path, data.getvalue())


def _indexed(
    image: Image.Image, array: NDArray[Any], colours: NDArray[Any], path: Path
) -> Image.Image:
    """Return a grey image as one with a palette; raises OutputError where they do not fit."""
    if array.dtype != np.uint8 or array.ndim != 2:
        raise OutputError(f"{str(path)!r}: a palette goes with a (H, W) uint8 array of indices")
    if colours.dtype != np.uint8 or colours.ndim != 2 or colours.shape[1] != 3:
        raise OutputError(
            f"{str(path)!r}: a palette of {colours.dtype} {colours.shape}; give (P, 3) uint8"
        )
    if len(colours) > 256 or int(array.max()) >= len(colours):
        raise OutputError(
            f"{str(path)!r}: indices up to {array.max()} and a palette of {len(colours)} colours; "
            "give a colour for each index, 256 at most"
        )
    image.putpalette(colours.tobytes())  # turns the image into indices
    return image


def _deep_png(array: NDArray[Any], texts: PngInfo, icc: bytes | None, exif: bytes | None) -> bytes:
    """Return a 16-bit colour PNG, which Pillow cannot write, with its texts and blocks."""
    import cv2

    order = [2, 1, 0, 3][: array.shape[2]]
    encoded = cv2.imencode(".png", np.ascontiguousarray(array[:, :, order]))[1].tobytes()
    chunks = [(bytes(chunk[0]), bytes(chunk[1])) for chunk in texts.chunks]
    if icc is not None:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if exif is not None:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    middle = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    after_header = 33  # 8 bytes of signature, 25 of IHDR
    return encoded[:after_header] + middle + encoded[after_header:]
