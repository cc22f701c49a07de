"""Masks in a format of annotations, as one ZIP file."""

from __future__ import annotations

import base64
import binascii
import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from lexiseg import imaging
from lexiseg.errors import PictureError
from lexiseg.export import Annotated, get_format, list_formats
from lexiseg.export.annotated import segmentation_of
from lexiseg.masks import Masks
from lexiseg.server.requests import ExportedPhoto, ExportRequest

__all__ = ["archive_of", "export_formats"]


def export_formats() -> list[dict[str, object]]:
    """Return the formats by name: what each is, and whether it needs the pictures."""
    return [
        {"name": one.name, "summary": one.summary, "needs_photo": one.needs_photo}
        for one in list_formats()
    ]


def archive_of(asked: ExportRequest, max_pixels: int) -> bytes:
    """Return a ZIP file of what a format makes of masks; remarks on losses are in REMARKS.txt.

    The files are made in a folder that only this process may read, and that goes away.
    """
    form = get_format(asked.format)
    words = dict.fromkeys(mask.word for photo in asked.photos for mask in photo.masks)
    out = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="lexiseg-") as name:
        folder, photos = Path(name) / "out", Path(name) / "photos"
        pictures = (_annotated(one, photos, max_pixels) for one in asked.photos)
        written = form.write(pictures, folder, tuple(words))
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder).as_posix())
            if written.notes:
                archive.writestr("REMARKS.txt", "\n".join(written.notes) + "\n")
    return out.getvalue()


def _annotated(photo: ExportedPhoto, folder: Path, max_pixels: int) -> Annotated:
    if photo.height * photo.width > max_pixels:
        raise PictureError(f"{photo.name!r} has more than {max_pixels:,} pixels (--max-pixels)")
    size_hw = photo.height, photo.width
    rles = [mask.rle.model_dump() for mask in photo.masks]
    seg = segmentation_of(
        dict.fromkeys(mask.word for mask in photo.masks),
        [mask.word for mask in photo.masks],
        Masks.from_rle(rles, size_hw),
        np.array([mask.score for mask in photo.masks], np.float32),
        source="lexiseg",
    )
    annotated = Annotated(photo.name, seg)
    if photo.image is None:
        return annotated
    try:
        data = base64.b64decode(photo.image, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError(f"{photo.name!r} is no base64 of a file ({error})") from error
    imaging.read_bytes(data, name=repr(photo.name), max_pixels=max_pixels)
    path = folder / annotated.stem
    path = path.with_name(path.name + Path(photo.name).suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Annotated(photo.name, seg, path)
