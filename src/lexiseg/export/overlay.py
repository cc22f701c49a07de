"""The overlay as a file."""

from __future__ import annotations

import os
from typing import Any

from lexiseg import imaging
from lexiseg.results import Segmentation
from lexiseg.visualize import overlay

__all__ = ["save_overlay"]


def save_overlay(
    seg: Segmentation, path: str | os.PathLike[str], image: Any = None, **options: Any
) -> None:
    """Write the picture with the words painted over it; options as `visualize.overlay`.

    The name says the kind of file: png, jpg, webp or tif. Raises OutputError.
    """
    imaging.write(path, overlay(seg, image, **options))
