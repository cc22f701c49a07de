"""lexiseg's own results, as `lexiseg segment` writes them: result.json beside labels.png."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.errors import InputError
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.files import save_label_map
from lexiseg.export.format import PictureFormat, Writer
from lexiseg.export.georeference import rasterio
from lexiseg.export.result import result_json
from lexiseg.export.source import Source
from lexiseg.masks import Masks
from lexiseg.results import Segmentation

__all__ = ["FORMAT", "Results"]

_FILE = "result.json"
_LABELS = "labels.png"
_TILED = ("labels.tif", "instances.tif")  # of pictures segmented by tiles


@dataclass(frozen=True)
class Results(PictureFormat):
    """A folder a picture, with result.json and labels.png; `segment` writes overlays beside."""

    name: ClassVar[str] = "lexiseg"
    summary: ClassVar[str] = "result.json and labels.png, as `lexiseg segment` writes them"
    keeps: ClassVar[str] = "all: masks, words, scores, the label map"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _ResultsWriter(self, folder, words)

    def files(self, source: Source) -> list[Path]:
        return [path for path in source.files(*self.suffixes) if path.name == _FILE]

    def accepts_file(self, source: Source) -> bool:
        content = source.json
        if not isinstance(content, dict) or "schema_version" not in content:
            return False
        return "instances" in content and bool({"vocabulary", "words"} & content.keys())

    def read_file(self, source: Source, file_name: str) -> Annotated:
        content = source.json
        folder = source.path.parent
        try:
            image, found = content["image"], content["instances"]
            size = (int(image["height"]), int(image["width"]))
            if content["files"].get("instances") == _TILED[1]:
                return self._read_tiled(source, file_name)
            words = [one["word"] for one in content["vocabulary"]]
            places = {one["index"]: k for k, one in enumerate(content["vocabulary"])}
            label_map = None
            if content["files"].get("labels") == _LABELS and (folder / _LABELS).is_file():
                values = imaging.read_indices(folder / _LABELS)
                table = np.full(max(int(values.max()), *places, 0) + 2, -1, np.int32)
                for index, k in places.items():
                    table[index + 1] = k
                label_map = table[values]
            seg = segmentation_of(
                words,
                [one["word"] for one in found],
                Masks.from_rle([one["rle"] for one in found], size),
                [one["score"] for one in found],
                source=self.name,
                label_map=label_map,
            )
        except (KeyError, TypeError, AttributeError, InputError) as error:
            raise source.wrong(f"at {error}", "result.json of lexiseg") from error
        return _placed(seg, source, file_name)

    def _read_tiled(self, source: Source, file_name: str) -> Annotated:
        """Return the result of `segment --tile`: masks are read one by one, by their boxes."""
        content, folder = source.json, source.path.parent
        size = (int(content["image"]["height"]), int(content["image"]["width"]))
        words = [str(one["word"]) for one in content["words"]]
        found = content["instances"]
        window = rasterio("windows").Window

        def masks(file: Any) -> Iterator[NDArray[np.bool_]]:
            for one in found:
                numbers = file.read(1, window=window(*one["box_xywh"]))
                yield numbers == one["value"]

        try:
            with rasterio().open(folder / _TILED[1]) as file:
                corners = np.array([one["box_xywh"][:2] for one in found], np.int64)
                shapes = Masks.from_crops(size, corners, masks(file))
            with rasterio().open(folder / _TILED[0]) as file:
                label_map = file.read(1).astype(np.int16)
            label_map -= 1
            labels, scores = ([one[key] for one in found] for key in ("word", "score"))
            seg = segmentation_of(
                words, labels, shapes, scores, source=self.name, label_map=label_map
            )
        except (OSError, ValueError, TypeError) as error:
            raise source.wrong(f"at {error}", "result of tiles") from error
        return _placed(seg, source, file_name)


FORMAT = Results()


def _placed(seg: Segmentation, source: Source, file_name: str) -> Annotated:
    """The result with its picture's name below what is read, and where the picture lies."""
    image = source.json["image"]
    photo = source.path.parent / image["path"] if image.get("path") else None
    own = Path(file_name).parent
    name = image.get("file_name") or own.name
    return Annotated(
        name if own == Path() else (own.parent / name).as_posix(),
        seg,
        photo if photo is not None and photo.is_file() else source.photo(name),
    )


class _ResultsWriter(Writer):
    def _add(self, picture: Annotated) -> None:
        folder = self.folder / picture.stem
        save_label_map(picture.seg, folder / _LABELS)
        content = result_json(picture.seg, files={"labels": _LABELS})
        content["image"]["file_name"] = Path(picture.file_name).name
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        imaging.write_bytes(folder / _FILE, text.encode("utf-8", "backslashreplace"))
        self.written.files += [folder / _FILE, folder / _LABELS]
