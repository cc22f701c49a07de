"""Pictures whose values are indices, such as class masks and maps of regions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import PictureError
from lexiseg.imaging._decode import DAMAGE, open_header
from lexiseg.imaging._picture import MAX_PIXELS

__all__ = ["read_indices"]

# Pillow's kinds of pixel with one value each; of a palette picture the value is the index.
_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def read_indices(
    path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.int32]:
    """Return the values of a picture of one channel as its file holds them, (H, W).

    Of a palette picture these are the indices, not the colours. Nothing is turned or scaled.
    max_pixels: files with more are refused before their pixels are decoded.

    Raises PictureError for a file that is missing, damaged, too large, or of several channels.
    """
    name = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            image = open_header(file, repr(name), max_pixels)
            if image.mode not in _MODES:
                raise PictureError(
                    f"{name!r} has pixels of kind {image.mode}; save indices in one channel "
                    "(L, P or I;16)"
                )
            try:
                return np.array(image).astype(np.int32)
            except DAMAGE as error:
                raise PictureError(
                    f"{name!r} is damaged or cut off ({error}); save it again"
                ) from error
    except (OSError, ValueError) as error:
        raise PictureError(f"{name!r} cannot be opened ({error}); check its name") from error
