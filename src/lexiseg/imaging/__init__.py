"""The only door for pixels: pictures come in through `read` and go out through `write`."""

from __future__ import annotations

from lexiseg.imaging._files import write_bytes, write_text, writing
from lexiseg.imaging._formats import SUFFIXES, WRITABLE_SUFFIXES, is_picture
from lexiseg.imaging._indices import read_indices
from lexiseg.imaging._picture import MAX_PIXELS, Picture, Source, read, read_size, read_xmp
from lexiseg.imaging._write import check_target, write

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Picture",
    "Source",
    "check_target",
    "is_picture",
    "read",
    "read_indices",
    "read_size",
    "read_xmp",
    "write",
    "write_bytes",
    "write_text",
    "writing",
]
