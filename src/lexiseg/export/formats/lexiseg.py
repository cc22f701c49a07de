"""lexiseg's own results, as `lexiseg segment` writes them: result.json beside labels.png."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from lexiseg import imaging
from lexiseg.errors import InputError
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.files import save_label_map
from lexiseg.export.format import PictureFormat, Writer
from lexiseg.export.result import result_json
from lexiseg.export.source import Source
from lexiseg.masks import Masks

__all__ = ["FORMAT", "Results"]

_FILE = "result.json"
_LABELS = "labels.png"


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
        return isinstance(content, dict) and {"schema_version", "vocabulary"} <= content.keys()

    def read_file(self, source: Source, file_name: str) -> Annotated:
        content = source.json
        folder = source.path.parent
        try:
            image, found = content["image"], content["instances"]
            size = (int(image["height"]), int(image["width"]))
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
        photo = folder / image["path"] if image.get("path") else None
        own = Path(file_name).parent
        name = image.get("file_name") or own.name
        return Annotated(
            name if own == Path() else (own.parent / name).as_posix(),
            seg,
            photo if photo is not None and photo.is_file() else source.photo(name),
        )


FORMAT = Results()


class _ResultsWriter(Writer):
    def _add(self, picture: Annotated) -> None:
        folder = self.folder / picture.stem
        save_label_map(picture.seg, folder / _LABELS)
        content = result_json(picture.seg, files={"labels": _LABELS})
        content["image"]["file_name"] = Path(picture.file_name).name
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        imaging.write_bytes(folder / _FILE, text.encode("utf-8", "backslashreplace"))
        self.written.files += [folder / _FILE, folder / _LABELS]
