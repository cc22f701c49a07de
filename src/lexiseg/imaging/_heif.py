"""HEIC and HEIF files by pillow-heif, an extra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import PictureError

__all__ = ["Heif", "opened"]


@dataclass(frozen=True)
class Heif:
    """An open file, its header read: (width, height), upright; profile, EXIF, XMP; its frames."""

    image: Any
    size_wh: tuple[int, int]
    info: dict[str, Any]
    frames: int

    def samples(self) -> NDArray[Any]:
        """Decode the pixels: (H, W, C) uint8, or uint16 of a file with 10 or 12 bits."""
        array = np.asarray(self.image)[:, : self.size_wh[0]]
        array = array if array.ndim == 3 else array[:, :, None]
        return np.ascontiguousarray(array)


def opened(file: BinaryIO, name: str) -> Heif:
    """Read the header; raises PictureError where the extra is absent."""
    try:
        import pillow_heif
    except ImportError as error:
        # No ExtraMissing: of a folder of photos the others go on.
        raise PictureError(
            f"{name} is HEIC, which needs pillow-heif; pip install 'lexiseg[heif]', or export it "
            "as JPEG"
        ) from error
    file.seek(0)
    found = pillow_heif.HeifFile(file, convert_hdr_to_8bit=False, hdr_to_16bit=True)
    image = found[found.primary_index]
    return Heif(image, image.size, image.info, len(found))
