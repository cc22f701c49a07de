"""GeoTIFF, a file a picture: a band of classes and one of instances, where the picture lies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lexiseg import imaging
from lexiseg.errors import InputError
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.format import Numbers, PictureFormat, Writer
from lexiseg.export.georeference import Georeference, rasterio
from lexiseg.export.source import Source
from lexiseg.masks import Masks

__all__ = ["FORMAT", "GeoTiff"]

_TAG = "LEXISEG"  # a JSON object: file_name, words, labels, scores
_LOOKED_AT = 1 << 16
_SIDE = 512  # of a tile


@dataclass(frozen=True)
class GeoTiff(PictureFormat):
    """Band 1 is the index of the word plus 1, band 2 the number of the instance; 0 is none."""

    name: ClassVar[str] = "geotiff"
    summary: ClassVar[str] = "GeoTIFF of classes and instances, for pictures with a georeference"
    keeps: ClassVar[str] = "the label map, words, scores; of masks what no smaller one covers"
    needs_photo: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = (".tif", ".tiff")

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _GeoTiffWriter(self, folder, words)

    def accepts_file(self, source: Source) -> bool:
        if source.head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return False
        with source.path.open("rb") as file:  # without rasterio, which may be missing
            start = file.read(_LOOKED_AT)
            file.seek(max(source.path.stat().st_size - _LOOKED_AT, 0))
            return _TAG.encode() in start or _TAG.encode() in file.read()

    def read_file(self, source: Source, file_name: str) -> Annotated:
        try:
            content = json.loads(_tags(source)[_TAG])
            with rasterio().open(source.path) as file:
                classes, owner = file.read(1).astype(np.int32), file.read(2).astype(np.int32)
            labels = content["labels"]
            seen = [int(value) for value in np.unique(owner) if value]
            seg = segmentation_of(
                content["words"],
                [labels[value - 1] for value in seen],
                Masks.from_labels(owner, seen),
                [content["scores"][value - 1] for value in seen],
                source=self.name,
                label_map=classes - 1,
            )
            name = str(content["file_name"])
        except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
            raise source.wrong(f"at {error}", "GeoTIFF of lexiseg") from error
        return Annotated(name, seg, source.photo(name))


FORMAT = GeoTiff()


def _tags(source: Source) -> dict[str, str]:
    try:
        with rasterio().open(source.path) as file:
            tags: dict[str, str] = file.tags()
            return tags
    except (OSError, ValueError):
        return {}


class _GeoTiffWriter(Writer):
    def __init__(self, form: GeoTiff, folder: Path, words: Sequence[str]) -> None:
        super().__init__(form, folder, words)
        self._numbers = Numbers(words)

    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        if picture.photo is None:
            raise InputError(
                f"the picture {picture.file_name!r} is not found, whose georeference GeoTIFF "
                "needs; give --photos DIR"
            )
        place = Georeference.of(picture.photo)
        self._numbers.add(seg.words)
        of_word = np.array([*(self._numbers[word] for word in seg.words), 0], np.uint16)
        owner = self.flattened(seg) + 1
        deep = max(len(self._numbers), int(owner.max())) > 255
        kind: Any = np.uint16 if deep else np.uint8
        if int(owner.max()) > 65_535:
            raise InputError(f"{len(seg)} instances; a GeoTIFF of 16 bits holds 65,535")
        height, width = seg.size_hw
        content = {
            "file_name": picture.file_name,
            "words": self._numbers.names,
            "labels": seg.labels.tolist(),
            "scores": [round(float(score), 6) for score in seg.scores],
        }
        profile = {
            "driver": "GTiff", "height": height, "width": width, "count": 2, "dtype": kind,
            "crs": place.crs, "transform": rasterio().Affine(*place.transform), "nodata": 0,
            "compress": "deflate", "tiled": True, "blockxsize": _SIDE, "blockysize": _SIDE,
        }  # fmt: skip
        path = self.folder / f"{picture.stem}.tif"
        with rasterio("io").MemoryFile() as memory:
            with memory.open(**profile) as file:
                file.write(of_word[seg.label_map].astype(kind), 1)
                file.write(owner.astype(kind), 2)
                file.set_band_description(1, "class")
                file.set_band_description(2, "instance")
                file.update_tags(**{_TAG: json.dumps(content, ensure_ascii=False)})
            imaging.write_bytes(path, memory.read())
        self.written.files.append(path)
