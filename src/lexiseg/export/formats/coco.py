"""COCO "instances" JSON: masks as compressed run lengths, or as polygons where they can be."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal

from lexiseg import imaging
from lexiseg._version import __version__
from lexiseg.errors import InputError
from lexiseg.export.annotated import Annotated, instances_of, segmentation_of
from lexiseg.export.format import Format, Numbers, Writer, Written
from lexiseg.export.outlines import outlines
from lexiseg.export.source import Source
from lexiseg.masks import Masks
from lexiseg.masks.rle import Rle
from lexiseg.results import Segmentation

__all__ = ["FORMAT", "Coco", "coco_json", "shape_mask", "to_coco"]

FILE = "instances.json"
_KIND = "COCO instances file"


@dataclass(frozen=True)
class Coco(Format):
    """masks: rle, or polygons; a mask with holes is RLE there too, since COCO's polygons add up."""

    masks: Literal["rle", "polygons"] = "rle"

    name: ClassVar[str] = "coco"
    summary: ClassVar[str] = "COCO instances JSON, masks as run lengths or polygons"
    keeps: ClassVar[str] = "all: masks, words, scores"

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _CocoWriter(self, folder, words)

    def accepts(self, source: Source) -> bool:
        content = source.json
        if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
            return False
        return not any("segments_info" in one for one in content["annotations"][:1])

    def read(self, source: Source) -> Iterator[Annotated]:
        content = source.json
        try:
            names = {one["id"]: str(one["name"]) for one in content.get("categories", ())}
            of_image = defaultdict(list)
            passed = 0
            for one in content["annotations"]:
                if one.get("segmentation") and not one.get("iscrowd"):
                    of_image[one["image_id"]].append(one)
                else:
                    passed += 1
            if passed:
                source.notes.append(f"{passed:,} crowds and boxes without a mask, left out")
            for image in content["images"]:
                size, found = (int(image["height"]), int(image["width"])), of_image[image["id"]]
                masks = Masks.concat(
                    [Masks.empty(size), *(shape_mask(one["segmentation"], size) for one in found)]
                )
                seg = segmentation_of(
                    names.values(),
                    [names.get(one["category_id"], str(one["category_id"])) for one in found],
                    masks,
                    [float(one.get("score", 1)) for one in found],
                    source=self.name,
                )
                name = str(image["file_name"])
                yield Annotated(name, seg, source.photo(name))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise source.wrong(f"at {error}", _KIND) from error


FORMAT = Coco()


def shape_mask(segmentation: Any, size_hw: tuple[int, int]) -> Masks:
    """Return the one mask of a COCO segmentation: RLE of either kind, or polygons."""
    if isinstance(segmentation, dict):
        if tuple(segmentation["size"]) != size_hw:
            raise InputError(
                f"a mask of {segmentation['size']} pixels in a picture of {list(size_hw)} "
                "(height, width); export it again"
            )
        return Masks.from_rle([segmentation])
    return Masks.from_polygons([segmentation], size_hw)


def to_coco(seg: Segmentation, file_name: str = "image", image_id: int = 1) -> dict[str, Any]:
    """Return the instances of one picture as the dict of a COCO "instances" file."""
    return coco_json([(file_name, seg)], first_image_id=image_id)


def coco_json(
    results: Iterable[tuple[str, Segmentation]], *, first_image_id: int = 1
) -> dict[str, Any]:
    """Return (file name, result) pairs as the dict of a COCO "instances" file.

    Images, annotations and categories are numbered in order, the last two from 1; the same word
    is the same category in every picture. Boxes are x, y, width, height in pixels; masks are
    compressed run lengths. Each annotation has its score as well, so that the list under
    "annotations" also serves as a COCO result file. A result without instances, but with a label
    map, has one annotation for each word found.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    numbers = Numbers()
    for image_id, (file_name, seg) in enumerate(results, first_image_id):
        images.append(_image(image_id, file_name, seg))
        seg = instances_of(seg)
        numbers.add(seg.words)
        annotations += _annotations(seg, seg.masks.to_rle(), image_id, len(annotations), numbers)
    return {
        "info": _INFO,
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": _categories(numbers),
    }


_INFO = {"description": f"made by lexiseg {__version__}"}


def _image(image_id: int, file_name: str, seg: Segmentation) -> dict[str, Any]:
    height, width = seg.size_hw
    return {"id": image_id, "file_name": file_name, "height": height, "width": width}


def _categories(numbers: Numbers) -> list[dict[str, Any]]:
    return [{"id": number, "name": word, "supercategory": ""} for word, number in numbers.items()]


def _annotations(
    seg: Segmentation,
    shapes: Sequence[Rle | list[list[int]]],
    image_id: int,
    earlier: int,
    numbers: Numbers,
) -> Iterator[dict[str, Any]]:
    """The annotations of a picture, numbered after so many earlier ones."""
    areas = seg.masks.areas.tolist()
    for i, (x0, y0, x1, y1) in enumerate(seg.masks.boxes_xyxy.tolist()):
        yield {
            "id": earlier + i + 1,
            "image_id": image_id,
            "category_id": numbers[str(seg.labels[i])],
            "segmentation": shapes[i],
            "area": areas[i],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "iscrowd": 0,
            "score": round(float(seg.scores[i]), 6),
        }


class _CocoWriter(Writer):
    """Writes annotations as they come; images and categories are remembered."""

    def __init__(self, form: Coco, folder: Path, words: Sequence[str]) -> None:
        super().__init__(form, folder, words)
        self._polygons = form.masks == "polygons"
        self._numbers = Numbers(words)
        self._images: list[dict[str, Any]] = []
        self._with_holes = 0
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        number = len(self._images) + 1
        self._images.append(_image(number, picture.file_name, seg))
        self._numbers.add(seg.words)
        shapes: list[Rle | list[list[int]]] = list(seg.masks.to_rle())
        if self._polygons:
            for i in range(len(seg)):
                parts = outlines(seg.masks, i)
                if parts and all(not part.holes for part in parts):
                    shapes[i] = [part.exterior.reshape(-1).tolist() for part in parts]
                else:
                    self._with_holes += 1
        file = self._opened()
        for one in _annotations(seg, shapes, number, self.written.instances, self._numbers):
            first = one["id"] == 1
            file.write((b"\n" if first else b",\n") + json.dumps(one).encode())

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self._stack.enter_context(imaging.writing(self.folder / FILE))
            head = json.dumps({"info": _INFO, "licenses": []})
            self._file.write(head[:-1].encode() + b', "annotations": [')
        return self._file

    def close(self) -> Written:
        tail = {"images": self._images, "categories": _categories(self._numbers)}
        text = json.dumps(tail, ensure_ascii=False)
        self._opened().write(b"],\n" + text[1:].encode("utf-8", "backslashreplace") + b"\n")
        self._stack.close()
        self.written.files.append(self.folder / FILE)
        if self._with_holes:
            self.written.notes.append(
                f"{self._with_holes:,} of {self.written.instances:,} masks, those with holes, are "
                "run lengths: COCO's polygons have no holes"
            )
        return super().close()

    def abandon(self) -> None:
        self._stack.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
