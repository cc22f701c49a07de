"""Plain masks: a black and white PNG an instance, of the picture's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lexiseg import imaging
from lexiseg.export.annotated import Annotated
from lexiseg.export.files import safe_name
from lexiseg.export.format import Format, Writer

__all__ = ["FORMAT", "Png"]


@dataclass(frozen=True)
class Png(Format):
    """White is the mask. Files are STEM/001-WORD.png, in the order of the instances."""

    name: ClassVar[str] = "png"
    summary: ClassVar[str] = "a black and white PNG an instance; written only"
    keeps: ClassVar[str] = "each mask, its word in the name; it is not read"
    reads: ClassVar[bool] = False
    per_picture: ClassVar[bool] = True

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _PngWriter(self, folder, words)


FORMAT = Png()


class _PngWriter(Writer):
    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        for i in range(len(seg)):
            path = self.folder / picture.stem / f"{i + 1:03d}-{safe_name(str(seg.labels[i]))}.png"
            imaging.write(path, seg.masks.mask(i))
            self.written.files.append(path)
