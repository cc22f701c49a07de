"""COCO panoptic: a PNG a picture whose colours are the numbers of its segments, and one JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lexiseg import imaging
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.format import Format, Numbers, Writer, Written
from lexiseg.export.source import Source
from lexiseg.masks import Masks
from lexiseg.prompts.named import is_stuff

__all__ = ["FORMAT", "Panoptic"]

FILE = "panoptic.json"
_FOLDER = "panoptic"


@dataclass(frozen=True)
class Panoptic(Format):
    """A segment's number is R + 256 G + 65536 B of its pixels; 0 is no segment."""

    name: ClassVar[str] = "panoptic"
    summary: ClassVar[str] = "COCO panoptic: a PNG of segments a picture, and a JSON file"
    keeps: ClassVar[str] = "words, scores; of masks what no smaller one covers"

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _PanopticWriter(self, folder, words)

    def accepts(self, source: Source) -> bool:
        content = source.json
        if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
            return False
        return any("segments_info" in one for one in content["annotations"][:1])

    def read(self, source: Source) -> Iterator[Annotated]:
        content = source.json
        try:
            names = {one["id"]: str(one["name"]) for one in content["categories"]}
            images = {one["id"]: str(one["file_name"]) for one in content["images"]}
            for one in content["annotations"]:
                # A crowd is no instance.
                info = [part for part in one["segments_info"] if not part.get("iscrowd")]
                rgb = imaging.read(_png_of(source, str(one["file_name"]))).rgb
                number = rgb.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
                seg = segmentation_of(
                    names.values(),
                    [names[part["category_id"]] for part in info],
                    Masks.from_labels(number, [part["id"] for part in info]),
                    [float(part.get("score", 1)) for part in info],
                    source=self.name,
                )
                name = images[one["image_id"]]
                yield Annotated(name, seg, source.photo(name))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise source.wrong(f"at {error}", "COCO panoptic file") from error


FORMAT = Panoptic()


def _png_of(source: Source, file_name: str) -> Path:
    """Where the PNG of a picture lies: beside the JSON, or in the folder named like it."""
    for folder in (_FOLDER, source.path.stem, "."):
        path = source.folder / folder / file_name
        if path.is_file():
            return path
    return source.folder / _FOLDER / file_name


class _PanopticWriter(Writer):
    def __init__(self, form: Panoptic, folder: Path, words: Sequence[str]) -> None:
        super().__init__(form, folder, words)
        self._numbers = Numbers(words)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        height, width = seg.size_hw
        self._numbers.add(seg.words)
        owner = self.flattened(seg)
        png = f"{picture.stem}.png"
        number = len(self._images) + 1
        seen = [int(i) for i in np.unique(owner) if i >= 0]
        shown = Masks.from_labels(owner, seen)
        segments = []
        for i, area, box in zip(seen, shown.areas.tolist(), shown.boxes_xyxy.tolist(), strict=True):
            x0, y0, x1, y1 = box
            segments.append(
                {
                    "id": i + 1,
                    "category_id": self._numbers[str(seg.labels[i])],
                    "area": area,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "iscrowd": 0,
                    "score": round(float(seg.scores[i]), 6),
                }
            )
        value = owner + 1
        rgb = np.stack([value & 255, value >> 8 & 255, value >> 16], axis=2).astype(np.uint8)
        path = self.folder / _FOLDER / png
        imaging.write(path, rgb)
        self.written.files.append(path)
        self._images.append(
            {"id": number, "file_name": picture.file_name, "height": height, "width": width}
        )
        self._annotations.append({"image_id": number, "file_name": png, "segments_info": segments})

    def close(self) -> Written:
        categories = [
            {"id": number, "name": word, "supercategory": "", "isthing": int(not is_stuff(word))}
            for word, number in self._numbers.items()
        ]
        content = {
            "images": self._images, "annotations": self._annotations, "categories": categories
        }  # fmt: skip
        text = json.dumps(content, ensure_ascii=False) + "\n"
        path = self.folder / FILE
        imaging.write_bytes(path, text.encode("utf-8", "backslashreplace"))
        self.written.files.append(path)
        return super().close()
