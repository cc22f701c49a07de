"""GeoJSON (RFC 7946), a file a picture: masks as polygons with holes, in degrees on the earth."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.errors import InputError
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.format import PictureFormat, Writer
from lexiseg.export.georeference import Georeference, doubled_area
from lexiseg.export.outlines import fill_even_odd, outlines
from lexiseg.export.shapes import Shapes
from lexiseg.export.source import Source
from lexiseg.masks import Masks

__all__ = ["FORMAT", "GeoJson"]

_AREAS = ("Polygon", "MultiPolygon")
_PICTURES = (".tif", ".tiff", ".jp2", ".png", ".jpg")


@dataclass(frozen=True)
class GeoJson(PictureFormat):
    """Corners of pixels in WGS 84, longitude first; the member "lexiseg" tells the way back.

    Of files without it, the picture that they lie on is looked for beside them, by their name.
    """

    name: ClassVar[str] = "geojson"
    summary: ClassVar[str] = "GeoJSON polygons on the earth, for pictures with a georeference"
    keeps: ClassVar[str] = "all: masks, words, scores, the georeference"
    needs_photo: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = (".geojson", ".json")

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _GeoJsonWriter(self, folder, words)

    def accepts_file(self, source: Source) -> bool:
        content = source.json
        return isinstance(content, dict) and content.get("type") == "FeatureCollection"

    def read_file(self, source: Source, file_name: str) -> Annotated:
        content = source.json
        own = content.get("lexiseg")
        try:
            if own is not None:
                name, size = str(own["file_name"]), (int(own["height"]), int(own["width"]))
                place, words = Georeference.from_json(own), own["words"]
                photo = source.photo(name)
            else:
                photo = _picture_of(source, file_name)
                name, size = photo.name, imaging.read_size(photo)
                place, words = Georeference.of(photo), []
            shapes = Shapes(size)
            areas = [one for one in content["features"] if one["geometry"]["type"] in _AREAS]
            if len(areas) < len(content["features"]):
                source.notes.append(f"{file_name}: points and lines have no area, left out")
            rings = _many(place.to_pixels, [_rings(one["geometry"]) for one in areas])
            for feature, outline in zip(areas, rings, strict=True):
                found = feature["properties"] or {}
                crop, x0, y0 = fill_even_odd(outline, size)
                label = str(found.get("word") or found.get("name") or found.get("class") or "mask")
                mask = Masks.from_crops(size, [(x0, y0)], [crop])
                shapes.add(label, mask, float(found.get("score", 1)))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise source.wrong(f"at {error}", "GeoJSON file") from error
        seg = segmentation_of(words, shapes.labels, shapes.masks, shapes.scores, source=self.name)
        return Annotated(name, seg, photo)


FORMAT = GeoJson()


def _picture_of(source: Source, file_name: str) -> Path:
    for ending in _PICTURES:
        photo = source.photo(str(Path(file_name).with_suffix(ending)))
        if photo is not None:
            return photo
    raise InputError(
        f"{str(source.path)!r} does not tell its picture, and none of that name lies beside it; "
        "give --photos DIR"
    )


def _rings(geometry: Mapping[str, Any]) -> list[NDArray[np.float64]]:
    """The rings of a polygon or several, (C, 2) degrees each."""
    polygons = geometry["coordinates"]
    polygons = [polygons] if geometry["type"] == "Polygon" else polygons
    return [np.asarray(ring, np.float64)[:, :2] for polygon in polygons for ring in polygon]


def _many(
    change: Callable[[NDArray[Any]], NDArray[np.float64]], several: Sequence[Sequence[NDArray[Any]]]
) -> list[list[NDArray[np.float64]]]:
    """Change the corners of lists of rings, all in one call: a call for each takes long."""
    flat = [ring for rings in several for ring in rings]
    if not flat:
        return [[] for _ in several]
    ends = np.cumsum([len(ring) for ring in flat])[:-1]
    changed = iter(np.split(change(np.concatenate(flat)), ends))
    return [[next(changed) for _ in rings] for rings in several]


class _GeoJsonWriter(Writer):
    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        if picture.photo is None:
            raise InputError(
                f"the picture {picture.file_name!r} is not found, whose georeference GeoJSON "
                "needs; give --photos DIR"
            )
        place = Georeference.of(picture.photo)
        height, width = seg.size_hw
        parts = [outlines(seg.masks, i) for i in range(len(seg))]
        rings = [[ring for part in one for ring in (part.exterior, *part.holes)] for one in parts]
        features = []
        for i, degrees in enumerate(_many(place.to_degrees, rings)):
            left = iter(degrees)
            polygons = [
                [_closed(next(left), 1), *(_closed(next(left), -1) for _ in part.holes)]
                for part in parts[i]
            ]
            features.append(
                {
                    "type": "Feature",
                    "properties": {
                        "word": str(seg.labels[i]),
                        "score": round(float(seg.scores[i]), 6),
                        "pixels": int(seg.masks.areas[i]),
                    },
                    "geometry": {"type": "MultiPolygon", "coordinates": polygons},
                }
            )
        content = {
            "type": "FeatureCollection",
            "lexiseg": {
                "file_name": picture.file_name,
                "height": height,
                "width": width,
                "words": list(seg.words),
                **place.to_json(),
            },
            "features": features,
        }
        path = self.folder / f"{picture.stem}.geojson"
        text = json.dumps(content, ensure_ascii=False) + "\n"
        imaging.write_bytes(path, text.encode("utf-8", "backslashreplace"))
        self.written.files.append(path)


def _closed(ring: NDArray[np.float64], turn: int) -> list[list[float]]:
    """A ring, closed; turn: 1 for counterclockwise, as RFC 7946 has outer ones."""
    if doubled_area(ring) * turn < 0:
        ring = ring[::-1]
    out: list[list[float]] = [*ring.tolist(), ring[0].tolist()]
    return out
