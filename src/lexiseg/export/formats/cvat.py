"""CVAT XML 1.1, "CVAT for images": masks as run lengths inside their box, row by row."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.format import Format, Numbers, Writer, Written
from lexiseg.export.shapes import Shapes, box_corners, ellipse_mask
from lexiseg.export.source import Source
from lexiseg.masks import Masks

__all__ = ["FORMAT", "Cvat"]

FILE = "annotations.xml"
_SHAPES = ("mask", "polygon", "box", "ellipse")
_SCORE = (
    "<attribute><name>score</name><mutable>False</mutable><input_type>text</input_type></attribute>"
)


@dataclass(frozen=True)
class Cvat(Format):
    """Reads masks, polygons, boxes and ellipses; shapes of a group and label are one instance.

    Polygons are filled as pycocotools does, with which CVAT's own exports are made.
    """

    name: ClassVar[str] = "cvat"
    summary: ClassVar[str] = "CVAT XML for images, masks as run lengths"
    keeps: ClassVar[str] = "all: masks, words, scores"

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _CvatWriter(self, folder, words)

    def accepts(self, source: Source) -> bool:
        return source.xml is not None and source.xml.tag == "annotations"

    def read(self, source: Source) -> Iterator[Annotated]:
        root = source.xml
        assert root is not None
        if root.find("track") is not None:
            raise source.wrong("it holds tracks of a video", "CVAT file for images")
        words = [name.text or "" for name in root.iterfind(".//labels/label/name")]
        passed = 0
        try:
            for image in root.iterfind("image"):
                size = (int(image.attrib["height"]), int(image.attrib["width"]))
                shapes = Shapes(size)
                for one in image:
                    if one.tag not in _SHAPES:
                        passed += 1
                        continue
                    score = one.find("attribute[@name='score']")
                    group = int(one.get("group_id", 0)) or None
                    value = 1.0 if score is None or not score.text else float(score.text)
                    shapes.add(one.attrib["label"], _mask(one, shapes), value, group)
                seg = segmentation_of(
                    words, shapes.labels, shapes.masks, shapes.scores, source=self.name
                )
                name = image.attrib["name"]
                yield Annotated(name, seg, source.photo(name))
        except (KeyError, ValueError, TypeError) as error:
            raise source.wrong(f"at {error}", "CVAT file") from error
        if passed:
            source.notes.append(f"{passed} lines, points and tags have no area, left out")


FORMAT = Cvat()


def _mask(shape: ET.Element, shapes: Shapes) -> Masks:
    def number(key: str, default: str | None = None) -> float:
        return float(shape.attrib[key] if default is None else shape.get(key, default))

    if shape.tag == "mask":
        return _read_mask(shape.attrib, shapes.size_hw)
    if shape.tag == "polygon":
        corners = [float(v) for pair in shape.attrib["points"].split(";") for v in pair.split(",")]
        return shapes.polygon(corners)
    turn = number("rotation", "0")
    if shape.tag == "ellipse":
        centre, radii = (number("cx"), number("cy")), (number("rx"), number("ry"))
        return ellipse_mask(shapes.size_hw, centre, radii, turn)
    x0, y0, x1, y1 = (number(key) for key in ("xtl", "ytl", "xbr", "ybr"))
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    return shapes.polygon(box_corners(x0, y0, x1 - x0, y1 - y0, turn, middle))


def _read_mask(shape: Mapping[str, str], size_hw: tuple[int, int]) -> Masks:
    left, top, width, height = (int(shape[key]) for key in ("left", "top", "width", "height"))
    counts = np.array([int(count) for count in shape["rle"].split(",")], np.int64)
    if counts.sum() != width * height or (counts < 0).any():
        raise ValueError(f"run lengths that sum to {counts.sum()}, not {width * height}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return Masks.from_crops(size_hw, [(left, top)], [flat.reshape(height, width)])


def _counts(crop: NDArray[np.bool_]) -> str:
    """The lengths of the runs of a crop, row by row, the first of zeros."""
    flat = np.concatenate([[False], crop.reshape(-1)])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return ", ".join(map(str, np.diff(np.concatenate([[0], edges, [crop.size]])).tolist()))


class _CvatWriter(Writer):
    """Keeps the images in a temporary file: the labels of all stand before them."""

    def __init__(self, form: Cvat, folder: Path, words: Sequence[str]) -> None:
        super().__init__(form, folder, words)
        self._numbers = Numbers(words)
        self._body = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the writer

    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        height, width = seg.size_hw
        self._numbers.add(seg.words)
        lines = [
            f'  <image id="{self.written.pictures}" name={quoteattr(picture.file_name)} '
            f'width="{width}" height="{height}">'
        ]
        for i, (x0, y0, x1, y1) in enumerate(seg.masks.boxes_xyxy.tolist()):
            if seg.masks.areas[i]:
                lines.append(
                    f'    <mask label={quoteattr(str(seg.labels[i]))} source="auto" occluded="0" '
                    f'rle="{_counts(seg.masks.crop(i))}" left="{x0}" top="{y0}" '
                    f'width="{x1 - x0}" height="{y1 - y0}" z_order="{i}">'
                    f'<attribute name="score">{round(float(seg.scores[i]), 6)}</attribute></mask>'
                )
        lines.append("  </image>\n")
        self._body.write("\n".join(lines).encode("utf-8", "xmlcharrefreplace"))

    def close(self) -> Written:
        path = self.folder / FILE
        labels = "".join(
            f"<label><name>{escape(word)}</name><type>any</type><attributes>{_SCORE}</attributes>"
            "</label>\n"
            for word in self._numbers
        )
        head = (
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
            f"  <meta><task><size>{self.written.pictures}</size><mode>annotation</mode>\n"
            f"<labels>\n{labels}</labels></task></meta>\n"
        )
        self._body.seek(0)
        with self._body, imaging.writing(path) as file:
            file.write(head.encode("utf-8", "xmlcharrefreplace"))
            while block := self._body.read(1 << 20):
                file.write(block)
            file.write(b"</annotations>\n")
        self.written.files.append(path)
        return super().close()

    def abandon(self) -> None:
        self._body.close()
