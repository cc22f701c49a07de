"""Picture, and reading one from a file, a PIL image or an array."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lexiseg.errors import OptionError, PictureError, did_you_mean
from lexiseg.imaging._decode import Pixels, decode, open_header, to_eight_bits

__all__ = ["MAX_PIXELS", "Picture", "Source", "check_size", "read"]

MAX_PIXELS = 178_956_970  # where Pillow, too, refuses: a quarter of 2 GiB at 3 bytes a pixel


@dataclass(frozen=True, eq=False)
class Picture:
    """One upright picture, and what else its file held for whoever writes it back.

    rgb: (H, W, 3) uint8, contiguous; under transparent pixels the colours that the file holds.
    alpha: (H, W) uint8, or None where the file has no transparency.
    path: where it was read from. mode: Pillow's name of the file's own kind of pixel.
    icc: colour profile of `rgb`. exif: EXIF block, its orientation set to upright. xmp: XMP packet.
    deep: (H, W, C) uint16, C 1, 3 or 4, of a 16-bit file; `rgb` is the same divided by 257.
    notes: remarks for the reader, such as "turned upright".
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

    @property
    def size_hw(self) -> tuple[int, int]:
        """(H, W) of the picture, upright."""
        return self.rgb.shape[0], self.rgb.shape[1]


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
        check_size(source, "the PIL image", max_pixels)
        return _picture(decode(source, "the PIL image"), None)
    if isinstance(source, str | os.PathLike):
        return _from_file(os.fspath(source), max_pixels)
    raise PictureError(
        f"a picture cannot be made of {type(source).__module__}.{type(source).__name__}; give a "
        "path, a PIL image or a (H, W, 3) uint8 NumPy array"
    )


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
            image = open_header(file, name)
            check_size(image, repr(name), max_pixels)
            return _picture(decode(image, repr(name), file), path)
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


def check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise PictureError(f"{name} has {height} x {width} pixels; give one with at least 1 x 1")
    if width * height > max_pixels:
        raise PictureError(
            f"{name} has {height} x {width} = {width * height:,} pixels (height x width), more "
            f"than the limit of {max_pixels:,}; where it is to be trusted, raise the limit with "
            f"--max-pixels {width * height}"
        )


def _picture(pixels: Pixels, path: Path | None) -> Picture:
    return Picture(
        rgb=pixels.rgb,
        alpha=pixels.alpha,
        path=path,
        mode=pixels.mode,
        icc=pixels.icc,
        exif=pixels.exif,
        deep=pixels.deep,
        notes=pixels.notes,
        xmp=pixels.xmp,
    )


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
    deep = None
    if array.dtype == np.uint16:
        deep = np.array(array.reshape(*shape[:2], -1), np.uint16, order="C")
        array = to_eight_bits(deep)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    array = array.reshape(*shape[:2], -1)
    channels = array.shape[2]
    # A copy: a later change of the caller's array must not reach into a result.
    rgb = np.array(array[:, :, :3].repeat(3 if channels == 1 else 1, axis=2), order="C")
    alpha = np.array(array[:, :, 3], order="C") if channels == 4 else None
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    return Picture(
        rgb, alpha, mode="I;16" if deep is not None and channels == 1 else mode, deep=deep
    )
