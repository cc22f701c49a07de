"""Cut-outs: each instance as a PNG of its own pixels, transparent around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from lexiseg import imaging
from lexiseg.export.annotated import Annotated
from lexiseg.export.files import safe_name
from lexiseg.export.format import Format, Writer

__all__ = ["FORMAT", "Cutouts"]


@dataclass(frozen=True)
class Cutouts(Format):
    """crop: each in its box; without, each in the whole picture.

    What is transparent in the photo stays so. Files are STEM/001-WORD.png, in the order of the
    instances.
    """

    crop: bool = True

    name: ClassVar[str] = "cutouts"
    summary: ClassVar[str] = "a transparent PNG an instance; written only"
    keeps: ClassVar[str] = "the pixels of each mask; it is not read"
    reads: ClassVar[bool] = False
    per_picture: ClassVar[bool] = True
    needs_photo: ClassVar[bool] = True

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _CutoutsWriter(self, folder, words)


FORMAT = Cutouts()


class _CutoutsWriter(Writer):
    def __init__(self, form: Cutouts, folder: Path, words: Sequence[str]) -> None:
        super().__init__(form, folder, words)
        self._crop = form.crop

    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        photo = picture.read_photo("cut-outs are")
        height, width = seg.size_hw
        for i, box in enumerate(seg.masks.boxes_xyxy.tolist()):
            if not seg.masks.areas[i]:
                continue
            x0, y0, x1, y1 = box if self._crop else (0, 0, width, height)
            mask = seg.masks.crop(i) if self._crop else seg.masks.mask(i)
            alpha = mask * np.uint8(255)
            if photo.alpha is not None:
                alpha = np.where(mask, photo.alpha[y0:y1, x0:x1], np.uint8(0))
            colours = photo.rgb[y0:y1, x0:x1] * (alpha > 0)[:, :, None]  # nothing hidden under it
            path = self.folder / picture.stem / f"{i + 1:03d}-{safe_name(str(seg.labels[i]))}.png"
            imaging.write(path, np.dstack([colours, alpha]), icc=photo.icc)
            self.written.files.append(path)
