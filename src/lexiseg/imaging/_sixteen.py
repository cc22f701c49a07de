"""16 bits a channel by means of Pillow, which has no such colour: what it drops is asked for apart.

A PNG's 16-bit samples are pairs of bytes. Grey is read as 8-bit grey and alpha, grey with alpha as
8-bit RGBA: the same bytes under another name. Colour is unpacked twice, once with its high and once
with its low bytes kept. Planes of a TIFF are read one by one as grey pictures.
"""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from lexiseg.imaging._formats import opened, quiet
from lexiseg.imaging._ifd import Directory, Entry, Header, integers, rewritten
from lexiseg.imaging._png import PngFile, relabelled

__all__ = ["png_samples", "tiff_samples"]

_LAYOUT = (256, 257, 259, 266, 278, 322, 323)  # how large, how compressed, in which pieces


def png_samples(png: PngFile) -> NDArray[np.uint16]:
    """Return the samples of a 16-bit PNG, (H, W, C), C 1 to 4."""
    if png.colour in (0, 4):
        image = opened("PNG", io.BytesIO(relabelled(png)))
        image.load()
        pairs = np.asarray(image)
        samples = np.ascontiguousarray(pairs).view(">u2").astype(np.uint16)
    else:
        samples = _two_halves(lambda: opened("PNG", io.BytesIO(png.pixels)), big_endian=True)
    key = png.transparency
    if key is None or png.colour in (4, 6) or len(key) < 2 * samples.shape[2]:
        return samples
    hidden = (samples == np.frombuffer(key, ">u2", samples.shape[2])).all(axis=2)
    return np.dstack([samples, np.where(hidden, 0, 65_535).astype(np.uint16)])


def tiff_samples(
    file: BinaryIO, header: Header, first: Directory
) -> tuple[NDArray[np.uint16] | None, bool]:
    """Return the samples of a 16-bit TIFF, (H, W, C), C 1 to 4, or None where it is of another kind
    of pixel, or grey as Pillow reads it; and whether Pillow has turned them upright."""
    order = header.order
    count = _first(first, 277, order, 1)
    kind = _first(first, 262, order, 1)
    extra = integers(first.get(338), order)
    colours = {0: 1, 1: 1, 2: 3}.get(kind, 0)
    signed = set(integers(first.get(339), order)) > {1}
    if set(integers(first.get(258), order)) != {16} or signed:
        return None, False
    if not colours or not colours <= count <= 4 or count == kind == 1:
        return None, False
    planar = _first(first, 284, order, 1) == 2 and count > 1
    alpha = count > colours and extra[:1] != (0,)
    upright = colours == 3 and not planar
    if upright:
        raw = _first(first, 259, order, 1) == 1
        big_endian = order == ">" if raw else sys.byteorder == "big"  # libtiff swaps bytes itself
        samples = _two_halves(lambda: opened("TIFF", file), big_endian)
    elif planar or count == 1:
        planes = [_plane(file, header, first, index) for index in range(colours + alpha)]
        samples = np.dstack(planes)
    elif count == 2:
        samples = _grey_and_alpha(file, header, first)
    else:
        return None, False
    samples = np.ascontiguousarray(samples[:, :, : colours + alpha])
    if kind == 0:
        samples[:, :, :1] = 65_535 - samples[:, :, :1]
    if alpha and extra[:1] == (1,):
        samples = _unmultiplied(samples)
    return samples, upright


def _two_halves(
    open_image: Callable[[], ImageFile.ImageFile], big_endian: bool
) -> NDArray[np.uint16]:
    halves = []
    for letter in "BL" if big_endian else "LB":
        with open_image() as image:
            image.tile = [_unpacked_as(tile, letter) for tile in image.tile]
            with quiet():  # a TIFF's tags are read once more here
                image.load()
            halves.append(np.asarray(image))
    out: NDArray[np.uint16] = (halves[0].astype(np.uint16) << 8) | halves[1]
    return out


def _unpacked_as(tile: ImageFile._Tile, letter: str) -> ImageFile._Tile:
    """Return a tile whose samples are taken for big-endian ("B") or little-endian ("L") ones."""
    args = tile.args
    rawmode = str(args[0] if isinstance(args, tuple) else args)
    # Colours multiplied by alpha would be divided by it in 8 bits.
    rawmode = f"{rawmode.partition(';')[0].replace('a', 'A')};16{letter}"
    return tile._replace(args=(rawmode, *args[1:]) if isinstance(args, tuple) else rawmode)


def _plane(file: BinaryIO, header: Header, first: Directory, index: int) -> NDArray[np.uint16]:
    """Return a plane, (H, W), by a directory that names it alone."""
    order = header.order
    count = _first(first, 277, order, 1)
    entries: Directory = {}
    for tag in (273, 279, 324, 325):
        values = integers(first.get(tag), order)
        each = len(values) // count
        own = values[index * each : (index + 1) * each]
        if own:
            entries[tag] = Entry(4, each, struct.pack(f"{order}{each}I", *own))
    numbers = {258: (16,), 262: (1,), 277: (1,), 317: (_first(first, 317, order, 1),)}
    return _renamed(file, header, first, entries, numbers).astype(np.uint16)


def _grey_and_alpha(file: BinaryIO, header: Header, first: Directory) -> NDArray[np.uint16]:
    """Return grey and alpha, (H, W, 2), by a directory that calls their bytes 8-bit RGBA."""
    order = header.order
    own: Directory = {tag: first[tag] for tag in (273, 279, 324, 325) if tag in first}
    numbers = {258: (8,) * 4, 262: (2,), 277: (4,), 338: (2,)}
    four = _renamed(file, header, first, own, numbers)
    pairs = np.ascontiguousarray(four).view(f"{order}u2").astype(np.uint16)
    if _first(first, 317, order, 1) == 2:  # stored as differences, row by row of each tile
        across = _first(first, 322, order, pairs.shape[1])
        for left in range(0, pairs.shape[1], across):
            part = pairs[:, left : left + across]
            np.cumsum(part, axis=1, dtype=np.uint16, out=part)
    return pairs


def _renamed(
    file: BinaryIO,
    header: Header,
    first: Directory,
    own: Directory,
    numbers: Mapping[int, tuple[int, ...]],
) -> NDArray[Any]:
    """Return the pixels of a TIFF by another directory, written behind a copy of the file."""
    order = header.order
    entries = own | {tag: first[tag] for tag in _LAYOUT if tag in first}
    for tag, values in numbers.items():
        entries[tag] = Entry(3, len(values), struct.pack(f"{order}{len(values)}H", *values))
    whole = rewritten(file, header, entries)
    with opened("TIFF", whole) as image, quiet():
        image.load()
        return np.asarray(image)


def _first(directory: Directory, tag: int, order: str, default: int) -> int:
    return (*integers(directory.get(tag), order), default)[0]


def _unmultiplied(samples: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Divide colours by their alpha, which they are stored multiplied with."""
    alpha = samples[:, :, -1:].astype(np.float32)
    colours = samples[:, :, :-1] * (65_535 / np.maximum(alpha, 1))
    return np.concatenate(
        [np.rint(np.minimum(colours, 65_535)).astype(np.uint16), samples[:, :, -1:]], axis=2
    )
