"""From arrays and pictures to files."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from lexiseg.errors import OutputError
from lexiseg.imaging import _exif, _jpeg, _png, _tiff
from lexiseg.imaging._files import write_bytes
from lexiseg.imaging._formats import WRITABLE_SUFFIXES, Format, format_of_path, quiet
from lexiseg.imaging._metadata import NO_EXTRAS, Extras
from lexiseg.imaging._picture import Picture, to_eight_bits

__all__ = ["check_target", "encode", "write"]

_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 3},  # half the time of 6, for files a little larger
    "JPEG": {"quality": 95, "subsampling": 0},  # thin outlines keep their colour
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
_LARGE = 2_000_000  # samples
_STRIP = 12  # rows
_MAX_JPEG_EXIF = 65_533
_MAX_JPEG_XMP = 65_504
_MAX_JPEG_IPTC = 65_500
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class _Blocks:
    """What is written beside the pixels."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    extras: Extras = NO_EXTRAS


def check_target(
    picture: Picture, path: str | os.PathLike[str], *, transparent: bool = False
) -> tuple[str, ...]:
    """Return remarks on what a file of that name cannot hold of a picture, before any work is done.

    transparent: the picture will get transparent pixels, as a cut-out does.

    Raises OutputError for a name that ends in no kind of file that is written, for transparency
    where there can be none, and for a picture with more pixels a side than the kind can have.
    """
    path = Path(path)
    kind = _format(path)
    name = kind.name.replace("WEBP", "WebP")
    if not kind.alpha and (transparent or picture.transparent):
        raise OutputError(f"{str(path)!r}: {name} has no transparency; end the name in .png")
    _check_sides(picture.size_hw, kind, path)
    remarks = []
    if picture.deep is not None and not kind.sixteen_bits:
        remarks.append(f"{name} holds 8 bits a channel: the picture's 16 are rounded to them")
    extras = picture.extras
    hidden = picture.hidden
    if hidden is not None and hidden.colours.any() and not _keeps_hidden(kind, extras):
        remarks.append(f"{name} does not keep the colours hidden under transparent pixels")
    if extras.grey_icc and kind.name == "WEBP":
        remarks.append("WebP has no grey, so that its profile of grey is not written")
    keywords = _keywords(extras)
    if keywords and not kind.texts:
        remarks.append(f"{name} has no place for texts as PNG has: {', '.join(keywords)}")
    if extras.comment and not kind.comment:
        remarks.append(f"{name} has no place for a comment as JPEG and GIF have")
    if extras.iptc and not (kind.iptc and _fits(kind, extras.iptc, _MAX_JPEG_IPTC)):
        remarks.append(f"{name} has no place for its IPTC record; its XMP packet is kept")
    if picture.exif and not _fits(kind, picture.exif, _MAX_JPEG_EXIF):
        remarks.append(f"its EXIF block of {len(picture.exif):,} bytes is more than JPEG can hold")
    if picture.xmp and not _fits(kind, picture.xmp, _MAX_JPEG_XMP):
        remarks.append(f"its XMP packet of {len(picture.xmp):,} bytes is more than JPEG can hold")
    remarks += [f"{what} are not written" for what in extras.unkept]
    return tuple(remarks)


def write(
    path: str | os.PathLike[str],
    image: NDArray[Any] | Picture,
    *,
    palette: ArrayLike | None = None,
    metadata: Mapping[str, str] | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> None:
    """Write pixels as the kind of picture that the name ends in; arguments as for `encode`.

    The file is written whole or not at all. Raises OutputError.
    """
    data = encode(path, image, palette=palette, metadata=metadata, icc=icc, exif=exif, xmp=xmp)
    write_bytes(path, data)


def encode(
    name: str | os.PathLike[str],
    image: NDArray[Any] | Picture,
    *,
    palette: ArrayLike | None = None,
    metadata: Mapping[str, str] | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> bytes:
    """Return the bytes of a picture file of the kind that a name ends in.

    name: ends in png, jpg, webp, tif or avif; nothing is written there.
    image: uint8 or uint16 (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, or bool (H, W), written as
        0 and 255; 16 bits go to png and tif. Or a Picture: then all that it carries is written, as
        far as the kind of file holds it, what `check_target` names apart: depth, transparency with
        the colours hidden under it, profile, EXIF, XMP, IPTC, texts, resolution. A grey file stays
        grey where its pixels are.
    palette: (P, 3) uint8 RGB, P <= 256; makes a uint8 (H, W) array indices into it; png alone.
    metadata: texts by their keyword, such as "Software"; png alone.
    icc, exif, xmp: colour profile, EXIF block and XMP packet, as `Picture` keeps them; beside a
        Picture they stand in place of its own.

    Raises OutputError.
    """
    path = Path(name)
    kind = _format(path)
    if kind.name != "PNG" and (palette is not None or metadata):
        raise OutputError(f"{str(path)!r}: only PNG holds a palette or texts; end it in .png")
    blocks = _Blocks(icc, exif, xmp)
    if isinstance(image, Picture):
        array, blocks = _unpacked(image, kind, blocks)
    else:
        array = _checked(image, path)
    if not kind.alpha and array.shape[2] in (2, 4):
        raise OutputError(f"{str(path)!r}: {kind.name} has no transparency; end the name in .png")
    if array.dtype == np.uint16 and not kind.sixteen_bits:
        raise OutputError(f"{str(path)!r}: this kind of file has no 16 bits; end it in .png")
    _check_sides(array.shape[:2], kind, path)
    if palette is not None:
        picture = _indexed(array, np.asarray(palette), path)
    elif kind.name == "TIFF" or array.dtype == np.uint16:
        picture = None
    else:
        picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    try:
        return _encoded(kind, array, picture, blocks, metadata or {})
    except (OSError, ValueError, struct.error) as error:
        height, width = array.shape[:2]
        raise OutputError(
            f"{str(path)!r}: {height} x {width} pixels cannot be written as {kind.name} ({error}); "
            "end the name in .png"
        ) from error


def _encoded(
    kind: Format,
    array: NDArray[Any],
    image: Image.Image | None,
    blocks: _Blocks,
    texts: Mapping[str, str],
) -> bytes:
    """Return the bytes of a file. image: the same as `array`, where Pillow writes it."""
    extras = blocks.extras
    exif = None if blocks.exif is None else _exif.fitted(blocks.exif, array.shape[:2])
    if kind.name == "TIFF":
        return _tiff.encode(
            array, icc=blocks.icc, exif=exif, xmp=blocks.xmp, iptc=extras.iptc, dpi=blocks.dpi
        )
    if kind.name == "PNG":
        data = (
            _png.encode(array)
            if image is None
            else _saved(image, kind, _packing(image, array, kind))
        )
        return _png.inserted(data, _chunks(replace(blocks, exif=exif), texts))
    options: dict[str, Any] = {}
    if kind.name == "JPEG":
        if blocks.dpi is not None:
            options["dpi"] = blocks.dpi
        if extras.comment:
            options["comment"] = extras.comment
        if extras.iptc:
            options["extra"] = _jpeg.iptc_segment(extras.iptc)
    elif blocks.dpi is not None:  # WebP and AVIF tell of it in EXIF alone
        exif = _exif.with_resolution(exif, blocks.dpi)
    if kind.name == "AVIF" and exif is not None:
        exif = _exif.without_orientation(exif)
    if kind.name == "WEBP" and extras.lossless:
        options |= {"lossless": True, "exact": True, "quality": 80}
    named = {"icc_profile": blocks.icc, "exif": exif, "xmp": blocks.xmp}
    options |= {name: block for name, block in named.items() if block is not None}
    if image is None:
        raise ValueError("16 bits")
    return _saved(image, kind, options)


def _packing(image: Image.Image, array: NDArray[Any], kind: Format) -> dict[str, Any]:
    """How the pixels of a large PNG are packed: by runs alone where that is hardly larger.

    Of photos it is not, and takes two thirds of the time; drawings repeat themselves at a distance,
    and would grow to several times the size. A few strips of the picture tell.
    """
    if array.size < _LARGE or image.mode == "P":
        return {}
    starts = np.linspace(0, max(0, len(array) - _STRIP), 8).astype(int)
    strips = Image.fromarray(np.concatenate([array[at : at + _STRIP] for at in starts]).squeeze())
    runs = {"compress_type": zlib.Z_RLE}
    return runs if len(_saved(strips, kind, runs)) < 1.02 * len(_saved(strips, kind, {})) else {}


def _saved(image: Image.Image, kind: Format, options: Mapping[str, Any]) -> bytes:
    data = io.BytesIO()
    # For AVIF, Pillow looks into the EXIF block, and may warn of it.
    with quiet() if kind.name == "AVIF" else nullcontext():
        image.save(data, kind.name, **{**_OPTIONS[kind.name], **options})
    return data.getvalue()


def _chunks(blocks: _Blocks, texts: Mapping[str, str]) -> list[_png.Chunk]:
    """The chunks that a PNG file gets beside its pixels."""
    kept = list(blocks.extras.chunks)
    if blocks.icc is not None:
        kept = [chunk for chunk in kept if chunk[0] != b"sRGB"]  # a file has one of the two
        kept.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(blocks.icc)))
    if blocks.dpi is not None:
        dots = [round(value / 0.0254) for value in blocks.dpi]
        kept.append((b"pHYs", struct.pack(">IIB", *dots, 1)))
    if blocks.exif is not None:
        kept.append((b"eXIf", blocks.exif.removeprefix(_exif.PREFIX)))
    if blocks.xmp is not None:
        kept.append((b"iTXt", _png.XMP_KEYWORD + b"\0\0\0\0\0" + blocks.xmp))
    if blocks.extras.comment:
        kept.append(_png.text_chunk("Comment", blocks.extras.comment.decode("utf-8", "replace")))
    return kept + [_png.text_chunk(key, value) for key, value in texts.items()]


def _unpacked(picture: Picture, kind: Format, given: _Blocks) -> tuple[NDArray[Any], _Blocks]:
    """Return the samples of a picture as a kind of file holds them, (H, W, C), and its blocks."""
    colours: NDArray[Any] = picture.rgb if picture.deep is None else picture.deep
    alpha: NDArray[Any] | None = picture.alpha
    if picture.deep is not None and picture.deep.shape[2] == 4:
        colours, alpha = picture.deep[:, :, :3], picture.deep[:, :, 3]
    elif picture.deep is not None and alpha is not None:
        alpha = alpha.astype(np.uint16) * 257
    colours = _with_hidden(picture, colours)
    if picture.mode in _GREY_MODES and (colours == colours[:, :, :1]).all():
        colours = colours[:, :, :1]
    grey = colours.shape[2] == 1 and kind.name != "WEBP"
    samples: NDArray[Any] = colours if alpha is None else np.dstack([colours, alpha])
    if alpha is not None and not kind.alpha and not picture.transparent:
        samples = colours
    if samples.dtype == np.uint16 and not kind.sixteen_bits:
        samples = to_eight_bits(samples)
    if samples.shape[2] == 2 and kind.name in ("WEBP", "AVIF"):  # they have no grey with alpha
        samples = samples[:, :, [0, 0, 0, 1]]
    exif, xmp = picture.exif, picture.xmp
    if exif is not None and not _fits(kind, exif, _MAX_JPEG_EXIF):
        exif = None
    if xmp is not None and not _fits(kind, xmp, _MAX_JPEG_XMP):
        xmp = None
    blocks = _Blocks(
        icc=given.icc or (grey and picture.extras.grey_icc) or picture.icc,
        exif=given.exif or exif,
        xmp=given.xmp or xmp,
        dpi=picture.dpi,
        extras=picture.extras,
    )
    return np.ascontiguousarray(samples), blocks


def _with_hidden(picture: Picture, colours: NDArray[Any]) -> NDArray[Any]:
    """Return colours with those that were hidden in the file, where they still are."""
    hidden, alpha = picture.hidden, picture.alpha
    if hidden is None or alpha is None or hidden.size_hw != picture.size_hw:
        return colours
    under = hidden.colours[:, : colours.shape[2]]
    if under.dtype == np.uint16 and colours.dtype == np.uint8:
        under = to_eight_bits(under)
    elif under.dtype == np.uint8 and colours.dtype == np.uint16:
        under = under.astype(np.uint16) * 257
    still = alpha.reshape(-1)[hidden.at] == 0
    colours = colours.copy()
    colours.reshape(-1, colours.shape[2])[hidden.at[still]] = under[still]
    return colours


def _checked(image: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return an array as (H, W, C), or raise OutputError."""
    array = np.asarray(image)
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
    return np.ascontiguousarray(array[:, :, None] if flat else array)


def _format(path: Path) -> Format:
    kind = format_of_path(path.suffix)
    if kind is None:
        raise OutputError(
            f"{str(path)!r} ends in {path.suffix!r}; end it in one of "
            f"{', '.join(WRITABLE_SUFFIXES)}"
        )
    return kind


def _check_sides(size_hw: tuple[int, ...], kind: Format, path: Path) -> None:
    height, width = size_hw
    if max(height, width) > kind.max_side:
        raise OutputError(
            f"{str(path)!r}: {height} x {width} pixels cannot be written as {kind.name}, which has "
            f"at most {kind.max_side:,} a side; end the name in .png"
        )


def _keeps_hidden(kind: Format, extras: Extras) -> bool:
    return kind.name in ("PNG", "TIFF") or (kind.name == "WEBP" and extras.lossless)


def _fits(kind: Format, block: bytes, limit: int) -> bool:
    return kind.name != "JPEG" or len(block) <= limit


def _keywords(extras: Extras) -> list[str]:
    kept = (body for name, body in extras.chunks if name in (b"tEXt", b"zTXt", b"iTXt"))
    return [body.partition(b"\0")[0].decode("latin-1") for body in kept]


def _indexed(array: NDArray[Any], colours: NDArray[Any], path: Path) -> Image.Image:
    """Return indices as an image with a palette; raises OutputError where they do not fit."""
    if array.dtype != np.uint8 or array.shape[2] != 1:
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
    image = Image.fromarray(array[:, :, 0])
    image.putpalette(colours.tobytes())  # turns the image into indices
    return image
