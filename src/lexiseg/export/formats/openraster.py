"""OpenRaster: the photo and each instance as a layer, for GIMP, Krita, MyPaint and their like.

https://www.openraster.org/baseline/file-layout-spec.html
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from xml.sax.saxutils import quoteattr

import numpy as np

from lexiseg import imaging
from lexiseg.export.annotated import Annotated
from lexiseg.export.format import Format, Writer
from lexiseg.imaging import Picture

__all__ = ["FORMAT", "OpenRaster"]

_THUMBNAIL = 256  # pixels of its longer side, as the format wants
_THEN = (1980, 1, 1, 0, 0, 0)  # so that the same masks make the same file


@dataclass(frozen=True)
class OpenRaster(Format):
    """A file a picture, STEM.ora: the photo at the bottom, over it a layer an instance.

    A layer holds the photo's own pixels inside its mask and has the word for its name; hiding the
    photo leaves the things alone.
    """

    name: ClassVar[str] = "openraster"
    summary: ClassVar[str] = "OpenRaster layers for GIMP and Krita; written only"
    keeps: ClassVar[str] = "the pixels of each mask, its word; it is not read"
    reads: ClassVar[bool] = False
    per_picture: ClassVar[bool] = True
    needs_photo: ClassVar[bool] = True

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _OpenRasterWriter(self, folder, words)


FORMAT = OpenRaster()


class _OpenRasterWriter(Writer):
    def _add(self, picture: Annotated) -> None:
        photo = picture.read_photo("OpenRaster layers are")
        path = self.folder / f"{picture.stem}.ora"
        imaging.write_bytes(path, _file_of(photo, picture))
        self.written.files.append(path)


def _file_of(photo: Picture, picture: Annotated) -> bytes:
    masks, labels = picture.seg.masks, [str(label) for label in picture.seg.labels]
    height, width = photo.size_hw
    alpha = photo.alpha if photo.alpha is not None else np.full((height, width), 255, np.uint8)
    whole = imaging.encode("a.png", np.dstack([photo.rgb, alpha]), icc=photo.icc)
    layers, files = [], {"data/photo.png": whole, "mergedimage.png": whole}
    for i, (x0, y0, x1, y1) in enumerate(masks.boxes_xyxy.tolist()):
        if not masks.areas[i]:
            continue
        opacity = np.where(masks.crop(i), alpha[y0:y1, x0:x1], np.uint8(0))
        colours = photo.rgb[y0:y1, x0:x1] * (opacity > 0)[:, :, None]
        name = f"data/{i + 1:03d}.png"
        files[name] = imaging.encode("a.png", np.dstack([colours, opacity]), icc=photo.icc)
        layers.append(_layer(labels[i], name, x0, y0))
    stack = [
        "<?xml version='1.0' encoding='UTF-8'?>",
        f'<image version="0.0.3" w="{width}" h="{height}"><stack>',
        *reversed(layers),  # the first is the uppermost
        _layer(picture.file_name, "data/photo.png", 0, 0),
        "</stack></image>",
    ]
    files["stack.xml"] = "\n".join(stack).encode("utf-8", "xmlcharrefreplace")
    scale = min(1.0, _THUMBNAIL / max(height, width))
    size_hw = max(1, round(height * scale)), max(1, round(width * scale))
    files["Thumbnails/thumbnail.png"] = imaging.encode(
        "a.png", imaging.resize_image(photo.rgb, size_hw)
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:  # PNGs are compressed already
        for name, data in {"mimetype": b"image/openraster", **files}.items():
            archive.writestr(zipfile.ZipInfo(name, _THEN), data)
    return out.getvalue()


def _layer(name: str, src: str, x: int, y: int) -> str:
    return f'<layer name={quoteattr(name)} src="{src}" x="{x}" y="{y}"/>'
