"""Picture, and reading one from a file, a PIL image or an array."""

from __future__ import annotations

import errno
import io
import os
import stat
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lexiseg.errors import OptionError, PictureError, did_you_mean
from lexiseg.imaging._decode import (
    DAMAGE,
    Decoded,
    check_size,
    decode_file,
    decode_image,
    open_header,
)
from lexiseg.imaging._metadata import NO_EXTRAS, Extras
from lexiseg.imaging._png import find_xmp

__all__ = [
    "MAX_PIXELS", "Hidden", "Picture", "Source", "pad_to_multiple", "read", "read_bytes",
    "read_size", "read_xmp", "resize_image", "to_eight_bits", "working_size",
]  # fmt: skip

MAX_PIXELS = 178_956_970  # where Pillow, too, refuses: a quarter of 2 GiB at 3 bytes a pixel
_MAX_DPI = 65_535  # of JPEG
_DARK = 4096  # a 16-bit picture that ends below looks black


@dataclass(frozen=True, eq=False)
class Hidden:
    """The colours that a file has where it is fully transparent, kept for writing it back alone.

    at: (n,) flat indices of the pixels, row by row. colours: (n, 3) RGB, uint8, or uint16 of a
    16-bit file. size_hw: of the picture that they belong to.
    """

    at: NDArray[np.uint32]
    colours: NDArray[Any]
    size_hw: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Picture:
    """One upright picture, and what else its file held for whoever writes it back.

    rgb: (H, W, 3) uint8, contiguous. Where alpha is 0 it is black, whatever the file has there:
        what is hidden can never be shown, averaged or pasted by mistake.
    alpha: (H, W) uint8, 0 transparent to 255 opaque; None where the file has no transparency.
        Whoever counts, draws or cuts out pixels leaves those of alpha 0 alone; see `opaque`.
    path: where it was read from. mode: Pillow's name of the file's own kind of pixel.
    icc: colour profile of `rgb`. exif: EXIF block, its orientation set to upright, without
        thumbnails. xmp: XMP packet, without thumbnails.
    deep: (H, W, C) uint16, C 1, 3 or 4, of a 16-bit file; `rgb` is the same divided by 257.
    notes: remarks for the reader, such as "turned upright"; to be printed once a file.
    dpi: resolution, pixels an inch, (x, y). format: name of the kind of file, such as "PNG".
    extras, hidden: what else is written back: see `Extras` and `Hidden`.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    path: Path | None = None
    mode: str = "RGB"
    icc: bytes | None = None
    exif: bytes | None = None
    deep: NDArray[np.uint16] | None = None
    notes: tuple[str, ...] = ()
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    format: str | None = None
    extras: Extras = NO_EXTRAS
    hidden: Hidden | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """(H, W) of the picture, upright."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def opaque(self) -> NDArray[np.bool_] | None:
        """(H, W) bool: False where alpha is 0, so that nothing is there to be counted, drawn or cut
        out; None where that is nowhere the case. Half-transparent pixels are there."""
        if self.alpha is None:
            return None
        there = self.alpha > 0
        return None if there.all() else there

    @property
    def transparent(self) -> bool:
        """Whether any pixel is less than fully opaque."""
        return self.alpha is not None and bool((self.alpha < 255).any())


Source = str | os.PathLike[str] | Image.Image | NDArray[Any] | Picture


def read(source: Source, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Return the picture behind a path, a PIL image or an array; a Picture is returned as it is.

    Arrays: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); uint8, uint16 (0 to 65535) or bool.
    Of a file with several frames or pages the first is read. EXIF orientation is applied, to
    PIL images too.
    max_pixels: files and PIL images with more are refused before their pixels are decoded.

    Raises PictureError, one line, for anything that is not a whole, readable picture.
    """
    if max_pixels < 1:
        raise OptionError(f"max_pixels (--max-pixels) is {max_pixels}; give at least 1")
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        check_size(source.size, "the PIL image", max_pixels)
        return _picture(decode_image(source, "the PIL image"), None)
    if isinstance(source, str | os.PathLike):
        return _from_file(os.fsdecode(source), max_pixels)
    raise PictureError(
        f"a picture cannot be made of {type(source).__module__}.{type(source).__name__}; give a "
        "path, a PIL image or a (H, W, 3) uint8 NumPy array"
    )


def read_bytes(data: bytes, *, name: str = "the picture", max_pixels: int = MAX_PIXELS) -> Picture:
    """Return the picture in the bytes of a file, of whatever kind they begin as.

    name: what messages call it. Raises PictureError, as `read` does.
    """
    if not data:
        raise PictureError(f"{name} is empty (0 bytes); send the whole file")
    return _picture(decode_file(io.BytesIO(data), name, max_pixels), None)


def read_xmp(path: str | os.PathLike[str]) -> bytes | None:
    """Return the XMP packet of a picture's file as it is; no pixel is decoded.

    None where there is none, and for what is no picture or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would never end
            return None
        with open(path, "rb") as file:
            if file.read(8) == b"\x89PNG\r\n\x1a\n":
                return find_xmp(file)
            file.seek(0)
            image = open_header(file, "", MAX_PIXELS)
            packet = image.info.get("xmp")
            if packet is None and image.format == "TIFF":
                packet = image.getexif().get(700)
    except (PictureError, *DAMAGE):
        return None
    return packet if isinstance(packet, bytes) else None


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (H, W) of a picture's file, upright; of most kinds the header alone is read.

    Raises PictureError.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            image = open_header(file, repr(name), MAX_PIXELS)
            turned = image.getexif().get(274, 1) in (5, 6, 7, 8) and image.format != "TIFF"
            width, height = image.size
            return (width, height) if turned else (height, width)
    except (PictureError, *DAMAGE):
        return read(name).size_hw  # kinds that Pillow does not open; raises what is wrong


def _from_file(name: str, max_pixels: int) -> Picture:
    if "://" in name:
        raise PictureError(
            f"{name!r} is an address, and lexiseg opens none; download it and give the file"
        )
    path = Path(name)
    try:
        if not name or path.is_dir():
            raise PictureError(f"{name!r} is a folder, not a picture; give the picture's file")
        if path.exists() and not path.is_file():
            raise PictureError(f"{name!r} is not an ordinary file; give a picture's file")
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise PictureError(f"{name!r} is empty (0 bytes); copy or download it again")
            return _picture(decode_file(file, repr(name), max_pixels), path)
    except (OSError, ValueError) as error:
        raise PictureError(_why_not_opened(path, error)) from error


def _why_not_opened(path: Path, error: OSError | ValueError) -> str:
    name, reason = str(path), getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) != errno.ENOENT:
        return f"{name!r} cannot be opened ({reason}); check its name and who may read it"
    folder = path.parent
    if not folder.is_dir():
        return f"{name!r} does not exist: there is no folder {str(folder)!r}; check the path"
    try:
        beside = [entry.name for entry in islice(os.scandir(folder), 10_000)]
    except OSError:
        beside = []
    hint = did_you_mean(path.name, beside) or "check the path"
    return f"{name!r} does not exist; {hint}"


def _picture(decoded: Decoded, path: Path | None) -> Picture:
    """Return a picture of decoded samples: upright, 8 bits, colours apart from alpha."""
    metadata = decoded.metadata
    samples, notes = decoded.samples, list(metadata.notes)
    turn = metadata.orientation
    if 2 <= turn <= 8:
        notes.append(f"turned upright by its EXIF orientation ({turn})")
    picture = _of_samples(_upright(samples, turn), decoded.mode)
    deep = picture.deep
    if deep is not None and (top := int(deep.max())) < _DARK:
        notes.append(f"a 16-bit picture that is dark: its values end at {top} of 65535")
    dpi = metadata.dpi
    if dpi is not None and not all(1 <= value <= _MAX_DPI for value in dpi):
        dpi = None  # nonsense, which no other kind of file could hold
    if picture.alpha is not None and not picture.alpha.any():
        notes.append("every pixel is fully transparent: there is nothing in it")
    return replace(
        picture,
        path=path,
        icc=metadata.icc,
        exif=metadata.exif,
        xmp=metadata.xmp,
        dpi=dpi,
        notes=tuple(dict.fromkeys(notes)),
        format=decoded.kind,
        extras=metadata.extras(),
    )


def _of_samples(samples: NDArray[Any], mode: str) -> Picture:
    """Return a picture of (H, W, C) uint8 or uint16 samples: grey, grey and alpha, RGB or RGBA."""
    channels = samples.shape[2]
    if channels == 2:
        samples = samples[:, :, [0, 0, 0, 1]]
    colours = samples if channels == 1 else samples[:, :, :3]
    alpha = samples[:, :, 3] if channels in (2, 4) else None
    deep = samples if samples.dtype == np.uint16 else None
    if deep is not None:
        colours = to_eight_bits(colours)
        alpha = None if alpha is None else to_eight_bits(alpha)
    rgb = colours.repeat(3, axis=2) if channels == 1 else np.ascontiguousarray(colours)
    alpha = None if alpha is None else np.ascontiguousarray(alpha)
    hidden = None
    if alpha is not None and not alpha.all():
        at = np.flatnonzero(alpha == 0).astype(np.uint32)
        under = (rgb if deep is None else deep[:, :, :3]).reshape(-1, 3)[at]
        hidden = Hidden(at, under, alpha.shape[:2])
        rgb.reshape(-1, 3)[at] = 0
        if deep is not None:
            deep = np.array(deep, order="C")
            deep.reshape(-1, 4)[at, :3] = 0
    return Picture(
        rgb,
        alpha,
        mode=mode,
        deep=None if deep is None else np.ascontiguousarray(deep),
        hidden=hidden,
    )


def to_eight_bits(deep: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return 16-bit values as 8-bit ones, divided by 257 and rounded: 65535 becomes 255."""
    table = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
    return table[deep]


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return (H, W, ...) turned as the EXIF orientation, 1 to 8, asks; others change nothing."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _from_array(array: NDArray[Any]) -> Picture:
    shape = array.shape
    if array.dtype.kind == "f":
        raise PictureError(
            f"an array of {array.dtype} {shape}; give uint8 in 0 to 255: "
            "(array * 255).round().astype('uint8') where its values lie in 0 to 1"
        )
    if array.dtype not in (np.uint8, np.uint16, np.bool_):
        raise PictureError(
            f"an array of {array.dtype} {shape}; give uint8 (0 to 255), uint16 (0 to 65535) or bool"
        )
    if array.ndim == 3 and shape[0] in (1, 3, 4) and shape[2] > 4:
        raise PictureError(
            f"an array of shape {shape} has its channels first; give array.transpose(1, 2, 0)"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise PictureError(
            f"an array of shape {shape}; give (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey"
        )
    if not array.size:
        raise PictureError(f"an array of shape {shape} has no pixels; give at least 1 x 1")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    # A copy: a later change of the caller's array must not reach into a result.
    samples = np.array(array.reshape(*shape[:2], -1), array.dtype.newbyteorder("="), order="C")
    grey = "I;16" if samples.dtype == np.uint16 else "L"
    return _of_samples(samples, {1: grey, 3: "RGB", 4: "RGBA"}[samples.shape[2]])


def working_size(
    size_hw: tuple[int, int], short_side: int, max_pixels: int | None = None
) -> tuple[int, int]:
    """Return an image's size with its short side scaled to ``short_side``.

    Long strips are scaled less, so that work stays bounded: to ``max_pixels``, or as many as a
    strip 16 times as long as wide has.
    """
    limit = 16 * short_side**2 if max_pixels is None else max_pixels
    scale = min(short_side / min(size_hw), (limit / (size_hw[0] * size_hw[1])) ** 0.5)
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def resize_image(rgb: NDArray[np.uint8], work_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) at another size: means of areas downwards, bilinear upwards."""
    import cv2

    way = cv2.INTER_AREA if work_hw[0] < rgb.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, work_hw[::-1], interpolation=way), np.uint8)


def pad_to_multiple(pixels: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) padded below and right to multiples by the border's own pixels.

    So no edge appears.
    """
    below, right = (-side % multiple for side in pixels.shape[:2])
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
