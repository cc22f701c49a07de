"""Label Studio: tasks with pre-annotations, masks as brush strokes, and the labelling interface."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from xml.sax.saxutils import quoteattr

import numpy as np

from lexiseg import imaging
from lexiseg._version import __version__
from lexiseg.errors import InputError
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.brush_rle import brush_decode, brush_encode
from lexiseg.export.format import Format, Numbers, Writer, Written
from lexiseg.export.shapes import Shapes, box_corners, ellipse_mask
from lexiseg.export.source import Source
from lexiseg.masks import Masks

__all__ = ["FORMAT", "LabelStudio"]

FILE = "tasks.json"
CONFIG = "interface.xml"
_KINDS = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels", "labels")


@dataclass(frozen=True)
class LabelStudio(Format):
    """prefix: what stands before each file name, such as "/data/local-files/?d=photos/".

    Reads annotations, where there are any, else predictions: brush strokes, and polygons, boxes
    and ellipses in percent of the picture, polygons filled as pycocotools does.
    """

    prefix: str = ""

    name: ClassVar[str] = "label-studio"
    summary: ClassVar[str] = "Label Studio tasks with predictions, masks as brush strokes"
    keeps: ClassVar[str] = "all: masks, words, scores"

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _LabelStudioWriter(self, folder, words)

    def accepts(self, source: Source) -> bool:
        tasks = source.json
        if not (isinstance(tasks, list) and tasks and isinstance(tasks[0], dict)):
            return False
        return "data" in tasks[0] and bool({"annotations", "predictions"} & tasks[0].keys())

    def read(self, source: Source) -> Iterator[Annotated]:
        passed = 0
        for task in source.json:
            try:
                name = _file_name(task["data"])
                several = task.get("annotations") or task.get("predictions") or []
                results = [one for made in several[:1] for one in made["result"]]
                drawn = [one for one in results if _label(one) is not None and _area(one)]
                passed += len(results) - len(drawn)
                photo = source.photo(name)
                size = _size(task["data"], drawn, photo)
                if size is None:
                    source.notes.append(f"{name}: nothing tells its size, left out")
                    continue
                shapes = Shapes(size)
                for one in drawn:
                    score = float(one.get("score") or 1)
                    shapes.add(str(_label(one)), _mask(one, shapes), score)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                raise source.wrong(f"at {error}", "list of Label Studio's tasks") from error
            seg = segmentation_of(
                task["data"].get("words", []), shapes.labels, shapes.masks, shapes.scores,
                source=self.name,
            )  # fmt: skip
            yield Annotated(name, seg, photo)
        if passed:
            source.notes.append(f"{passed} results have no area or no label, left out")


FORMAT = LabelStudio()


def _file_name(data: Mapping[str, Any]) -> str:
    """The picture's name of a task, without the address before it."""
    value = data.get("image") or next(v for v in data.values() if isinstance(v, str))
    name = str(value).partition("?d=")[2] or str(value)
    if "://" in name:
        name = name.partition("://")[2].partition("?")[0].partition("/")[2]
    return name.removeprefix("/")


def _label(result: Mapping[str, Any]) -> str | None:
    value = result.get("value", {})
    return next((value[kind][0] for kind in _KINDS if value.get(kind)), None)


def _area(result: Mapping[str, Any]) -> bool:
    return any(key in result["value"] for key in ("rle", "points", "width", "radiusX"))


def _size(
    data: Mapping[str, Any], results: Sequence[Mapping[str, Any]], photo: Path | None
) -> tuple[int, int] | None:
    if "height" in data and "width" in data:
        return int(data["height"]), int(data["width"])
    if results:
        return int(results[0]["original_height"]), int(results[0]["original_width"])
    return None if photo is None else imaging.read_size(photo)


def _mask(result: Mapping[str, Any], shapes: Shapes) -> Masks:
    """A result as a mask; lengths are percent of the picture's sides."""
    value, (height, width) = result["value"], shapes.size_hw
    if "rle" in value:
        alpha = brush_decode(value["rle"], 4 * height * width)[3::4]
        return Masks.from_dense((alpha > 0).reshape(1, height, width))
    if "points" in value:
        corners = np.array(value["points"], np.float64) * [width / 100, height / 100]
        return shapes.polygon(corners.reshape(-1).tolist())
    x, y = float(value["x"]) * width / 100, float(value["y"]) * height / 100
    turn = float(value.get("rotation", 0))
    if "radiusX" in value:
        radii = float(value["radiusX"]) * width / 100, float(value["radiusY"]) * height / 100
        return ellipse_mask(shapes.size_hw, (x, y), radii, turn)
    sides = float(value["width"]) * width / 100, float(value["height"]) * height / 100
    return shapes.polygon(box_corners(x, y, *sides, turn, (x, y)))


class _LabelStudioWriter(Writer):
    """Writes tasks as they come, then the interface with the labels of all."""

    def __init__(self, form: LabelStudio, folder: Path, words: Sequence[str]) -> None:
        super().__init__(form, folder, words)
        self._prefix = form.prefix
        self._numbers = Numbers(words)
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        height, width = seg.size_hw
        self._numbers.add(seg.words)
        results = []
        for i in range(len(seg)):
            label = str(seg.labels[i])
            stroke = {"format": "rle", "rle": brush_encode(seg.masks.mask(i))}
            results.append(
                {
                    "id": f"mask-{i + 1}",
                    "type": "brushlabels",
                    "from_name": "label",
                    "to_name": "image",
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "score": round(float(seg.scores[i]), 6),
                    "value": {**stroke, "brushlabels": [label]},
                }
            )
        prediction = {
            "model_version": f"lexiseg {__version__}",
            "score": round(float(seg.scores.mean()), 6) if len(seg) else 0.0,
            "result": results,
        }
        name = self._prefix + picture.file_name
        data = {"image": name, "height": height, "width": width, "words": list(seg.words)}
        task = {"data": data, "predictions": [prediction]}
        text = json.dumps(task, ensure_ascii=False, separators=(",", ":"))
        file = self._opened()
        file.write(b",\n" if self.written.pictures else b"")
        file.write(text.encode("utf-8", "backslashreplace"))

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self._stack.enter_context(imaging.writing(self.folder / FILE))
            self._file.write(b"[\n")
        return self._file

    def close(self) -> Written:
        if not self.written.pictures:
            raise InputError("there is no picture to write; Label Studio takes no empty list")
        self._opened().write(b"\n]\n")
        self._stack.close()
        labels = "".join(f"    <Label value={quoteattr(word)}/>\n" for word in self._numbers)
        imaging.write_text(
            self.folder / CONFIG,
            '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
            f'  <BrushLabels name="label" toName="image">\n{labels}  </BrushLabels>\n</View>\n',
        )
        self.written.files += [self.folder / FILE, self.folder / CONFIG]
        return super().close()

    def abandon(self) -> None:
        self._stack.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
