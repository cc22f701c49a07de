"""Pascal VOC: PNG with a palette for classes and for objects, XML with the objects' names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.errors import InputError
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.format import Format, Numbers, Writer, Written
from lexiseg.export.source import Source
from lexiseg.masks import Masks
from lexiseg.results import Segmentation

__all__ = ["FORMAT", "Voc", "voc_colours"]

_VOID = 255
_CLASSES, _OBJECTS, _NAMES = "SegmentationClass", "SegmentationObject", "Annotations"
_LABELS = "labelmap.txt"


@dataclass(frozen=True)
class Voc(Format):
    """Value i of a class is the i-th word of labelmap.txt; object i is the i-th of the XML file.

    Read without labelmap.txt, the values are those of Pascal VOC's 20 classes; without
    SegmentationObject, each class of a picture is one instance.
    """

    name: ClassVar[str] = "voc"
    summary: ClassVar[str] = "Pascal VOC: class and object PNG with a palette, names in XML"
    keeps: ClassVar[str] = "the label map, words, scores; of masks what no smaller one covers"
    per_picture: ClassVar[bool] = True

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _VocWriter(self, folder, words)

    def accepts(self, source: Source) -> bool:
        return source.is_folder and (source.path / _CLASSES).is_dir()

    def read(self, source: Source) -> Iterator[Annotated]:
        words = _labels(source)
        root = source.path / _CLASSES
        for path in Source(root).files(".png"):
            stem = path.relative_to(root).with_suffix("")
            classes = imaging.read_indices(path)
            classes[classes == _VOID] = 0
            objects = source.path / _OBJECTS / stem.with_suffix(".png")
            owner = imaging.read_indices(objects) if objects.is_file() else classes
            if owner.shape != classes.shape or int(classes.max()) > len(words):
                raise source.wrong(f"{path} does not fit its objects or {_LABELS}", "VOC folder")
            owner[owner == _VOID] = 0
            names = source.path / _NAMES / stem.with_suffix(".xml")
            file_name, labels, scores = _names(names, stem.as_posix())
            values = [int(value) for value in np.unique(owner) if value]
            found = []
            for value in values:
                if objects.is_file() and len(labels) >= values[-1]:
                    found.append((labels[value - 1], scores[value - 1]))
                    continue
                under = classes[owner == value]
                counts = np.bincount(under[under > 0], minlength=1)
                found.append((words[int(counts.argmax()) - 1], 1.0))
            seg = segmentation_of(
                words,
                [label for label, _ in found],
                Masks.from_labels(owner, values),
                [score for _, score in found],
                source=self.name,
                label_map=classes - 1,
            )
            yield Annotated(file_name, seg, source.photo(file_name))


FORMAT = Voc()


def voc_colours(count: int = 256) -> NDArray[np.uint8]:
    """Return Pascal VOC's colours, (count, 3) uint8: the bits of an index, spread over R, G, B."""
    index = np.arange(count)
    out = np.zeros((count, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            out[:, channel] |= ((index >> channel & 1) << (7 - place)).astype(np.uint8)
        index >>= 3
    return out


def _labels(source: Source) -> list[str]:
    path = source.path / _LABELS
    if not path.is_file():
        from lexiseg.datasets.published.voc import CLASSES

        return list(CLASSES)
    lines = path.read_text("utf-8").splitlines()
    names = [line.rsplit(":", 3)[0] for line in lines if line.strip() and line[0] != "#"]
    return names[1:] if names[:1] == ["background"] else names


def _names(path: Path, stem: str) -> tuple[str, list[str], list[float]]:
    """Return the picture's name, and the names and scores of its objects, from their XML file."""
    if not path.is_file():
        return f"{stem}.jpg", [], []
    root = Source(path).xml
    if root is None:
        raise InputError(f"{str(path)!r} is no XML; export it again")
    names = [one.findtext("name", "") for one in root.iterfind("object")]
    scores = [float(one.findtext("score", "1")) for one in root.iterfind("object")]
    own = root.findtext("filename", f"{PurePosixPath(stem).name}.jpg")
    return (PurePosixPath(stem).parent / own).as_posix(), names, scores


class _VocWriter(Writer):
    def __init__(self, form: Voc, folder: Path, words: Sequence[str]) -> None:
        super().__init__(form, folder, words)
        self._numbers = Numbers(words)
        self._listed: list[str] = []

    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        self._numbers.add(seg.words)
        if len(self._numbers) >= _VOID:
            raise InputError(f"{len(self._numbers)} words; VOC's palette holds {_VOID - 1}")
        owner = self.flattened(seg)
        seen = np.unique(owner[owner >= 0])
        renumbered = np.zeros(len(seg) + 1, np.int32)  # the last is reached by -1
        renumbered[seen] = np.arange(1, len(seen) + 1)
        of_word = np.array([*(self._numbers[word] for word in seg.words), 0], np.uint8)
        self._png(_CLASSES, picture.stem, of_word[seg.label_map])
        self._png(_OBJECTS, picture.stem, renumbered[owner])
        path = self.folder / _NAMES / f"{picture.stem}.xml"
        imaging.write_bytes(path, _xml(picture, seg, seen.tolist()))
        self.written.files.append(path)
        self._listed.append(picture.stem)

    def _png(self, kind: str, stem: str, values: NDArray[np.integer]) -> None:
        path = self.folder / kind / f"{stem}.png"
        if int(values.max()) < _VOID:
            imaging.write(path, values.astype(np.uint8), palette=voc_colours())
        else:  # more objects than a palette has colours
            imaging.write(path, values.astype(np.uint16))
        self.written.files.append(path)

    def close(self) -> Written:
        colours = voc_colours().tolist()
        names = ["background", *self._numbers]
        lines = ["# label:color_rgb:parts:actions"]
        lines += [f"{name}:{','.join(map(str, colours[i]))}::" for i, name in enumerate(names)]
        imaging.write_text(self.folder / _LABELS, "\n".join(lines) + "\n")
        listed = self.folder / "ImageSets" / "Segmentation" / "default.txt"
        imaging.write_text(listed, "".join(f"{stem}\n" for stem in self._listed))
        self.written.files += [self.folder / _LABELS, listed]
        return super().close()


def _xml(picture: Annotated, seg: Segmentation, shown: Sequence[int]) -> bytes:
    """The XML of a picture: the names of the objects in the order of their values."""
    height, width = seg.size_hw
    boxes = seg.masks.boxes_xyxy.tolist()
    objects = []
    for i in shown:
        x0, y0, x1, y1 = boxes[i]  # VOC counts pixels from 1, both ends included
        objects.append(
            f"  <object>\n    <name>{escape(str(seg.labels[i]))}</name>\n"
            f"    <score>{round(float(seg.scores[i]), 6)}</score>\n"
            f"    <bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax>"
            f"<ymax>{y1}</ymax></bndbox>\n  </object>\n"
        )
    name = escape(PurePosixPath(picture.file_name).name)
    text = (
        f"<annotation>\n  <filename>{name}</filename>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        f"  <segmented>1</segmented>\n{''.join(objects)}</annotation>\n"
    )
    return text.encode("utf-8", "xmlcharrefreplace")
