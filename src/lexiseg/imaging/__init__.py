"""The only door for pixels: pictures come in through `read` and go out through `write`."""

from __future__ import annotations

from lexiseg.imaging._files import write_bytes, write_text, writing
from lexiseg.imaging._formats import SUFFIXES, WRITABLE_SUFFIXES, is_picture
from lexiseg.imaging._indices import read_indices
from lexiseg.imaging._picture import (
    MAX_PIXELS,
    Picture,
    Source,
    pad_to_multiple,
    read,
    read_bytes,
    read_size,
    read_xmp,
    resize_image,
    to_eight_bits,
    working_size,
)
from lexiseg.imaging._write import check_target, encode, write

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Picture",
    "Source",
    "check_target",
    "encode",
    "is_picture",
    "pad_to_multiple",
    "read",
    "read_bytes",
    "read_indices",
    "read_size",
    "read_xmp",
    "resize_image",
    "to_eight_bits",
    "working_size",
    "write",
    "write_bytes",
    "write_text",
    "writing",
]
