"""YOLO segmentation, as ultralytics trains on it: photos, polygons and data.yaml, split in two."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lexiseg import imaging
from lexiseg.errors import InputError, OptionError
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.contours import bridged_contour, fill_bordered
from lexiseg.export.format import Format, Numbers, Writer, Written
from lexiseg.export.source import Source
from lexiseg.masks import Masks

__all__ = ["FORMAT", "Yolo"]

FILE = "data.yaml"
_LOST = "YOLO has one polygon a mask, so that parts are joined by lines"
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".avif", ".mpo")


@dataclass(frozen=True)
class Yolo(Format):
    """val: the share of pictures that validate, chosen by a hash of their names.

    photos: copy the pictures; without, the files are labels alone, as for pictures elsewhere.

    A polygon has its corners in the centres of border pixels, in units of the sides: ultralytics
    drops what is behind the point of x * W and y * H and draws with OpenCV's `fillPoly`, border
    included, and this is how labels are read here.
    """

    val: float = 0.2
    photos: bool = True

    name: ClassVar[str] = "yolo"
    summary: ClassVar[str] = "YOLO segmentation: a training set with its split and data.yaml"
    keeps: ClassVar[str] = "words; of masks one part with its holes exactly"

    def __post_init__(self) -> None:
        if not 0 <= self.val < 1:
            raise OptionError(f"val is {self.val:g}; give a share from 0 to below 1")

    @property
    def needs_photo(self) -> bool:  # type: ignore[override]
        """Whether pictures are copied."""
        return self.photos

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _YoloWriter(self, folder, words)

    def accepts(self, source: Source) -> bool:
        path = source.path / FILE if source.is_folder else source.path
        return path.suffix in (".yaml", ".yml") and path.is_file() and "names" in _yaml(path)

    def read(self, source: Source) -> Iterator[Annotated]:
        path = source.path / FILE if source.is_folder else source.path
        content = _yaml(path)
        named = content["names"]
        names = list(named) if isinstance(named, list) else [named[key] for key in sorted(named)]
        root = path.parent / str(content.get("path") or ".")
        folders = [content.get(part) for part in ("train", "val", "test")]
        folders = [one for part in folders for one in (part if isinstance(part, list) else [part])]
        boxes = 0
        for folder in dict.fromkeys(str(one) for one in folders if one):
            images = (root if root.is_dir() else path.parent) / folder
            for photo in Source(images).files(*_PICTURES):
                labels = _labels_of(photo)
                size = imaging.read_size(photo)
                rows = labels.read_text("utf-8-sig").splitlines() if labels.is_file() else []
                classes, crops, corners = [], [], []
                for row in rows:
                    values = row.split()
                    if len(values) < 7:
                        boxes += bool(values)
                        continue
                    crop, x0, y0 = _fill(source, values[1:], size)
                    classes.append(_name(source, values[0], names))
                    crops.append(crop)
                    corners.append((x0, y0))
                masks = Masks.from_crops(size, np.array(corners, np.int64), crops)
                seg = segmentation_of(map(str, names), classes, masks, source=self.name)
                yield Annotated(photo.relative_to(images).as_posix(), seg, photo)
        if boxes:
            source.notes.append(f"{boxes:,} boxes without a polygon, left out")


FORMAT = Yolo()


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text("utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{str(path)!r} is no YAML ({error}); export it again") from error
    return content if isinstance(content, dict) else {}


def _labels_of(photo: Path) -> Path:
    """Where ultralytics looks for the labels of a picture: the last "images" is "labels"."""
    parts = list(photo.parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _name(source: Source, value: str, names: Sequence[Any]) -> str:
    try:
        index = int(float(value))
        if index < 0:
            raise IndexError
        return str(names[index])
    except (ValueError, IndexError) as error:
        raise source.wrong(
            f"a class {value!r}, where there are {len(names)}", "YOLO data set"
        ) from error


def _fill(source: Source, values: Sequence[str], size_hw: tuple[int, int]) -> tuple[Any, int, int]:
    """Return the crop of a polygon, its x0 and y0, as ultralytics draws it."""
    height, width = size_hw
    try:
        shares = np.array([float(value) for value in values], np.float32).reshape(-1, 2)
        if not (np.abs(shares) <= 1.01).all():
            raise ValueError("a polygon outside the picture")
    except ValueError as error:
        raise source.wrong(f"at {error}", "YOLO data set") from error
    corners = (shares * np.array([width, height], np.float32)).astype(np.int32)
    (x0, y0), (x1, y1) = corners.min(axis=0).clip(0), corners.max(axis=0) + 1
    crop = fill_bordered(corners - (x0, y0), (max(int(y1 - y0), 1), max(int(x1 - x0), 1)))
    return crop[: height - y0, : width - x0], int(x0), int(y0)


class _YoloWriter(Writer):
    """Writes every picture into the train part; at the end, those that validate are moved."""

    format: Yolo

    def __init__(self, form: Yolo, folder: Path, words: Sequence[str]) -> None:
        super().__init__(form, folder, words)
        self._options = form
        self._numbers = Numbers(words, first=0)
        self._pictures: list[tuple[str, str]] = []  # name, and its file below images

    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        self._numbers.add(seg.words)
        height, width = seg.size_hw
        rows = []
        for i, (x0, y0, _, _) in enumerate(seg.masks.boxes_xyxy.tolist()):
            if not seg.masks.areas[i]:
                continue
            crop = seg.masks.crop(i)
            corners = bridged_contour(crop)
            back = fill_bordered(corners, crop.shape)
            if (back != crop).any():
                self.lost(_LOST, float((back & crop).sum() / (back | crop).sum()))
            shares = np.add(corners, (x0 + 0.5, y0 + 0.5)) / (width, height)
            values = " ".join(f"{value:.8g}" for value in shares.reshape(-1).tolist())
            rows.append(f"{self._numbers[str(seg.labels[i])]} {values}\n")
        image = picture.stem + Path(picture.file_name).suffix.lower()
        self._pictures.append((picture.file_name, image))
        imaging.write_text(self._place("labels", "train", image), "".join(rows))
        if self._options.photos:
            self._copy(picture, self._place("images", "train", image))

    def _place(self, kind: str, part: str, image: str) -> Path:
        path = self.folder / kind / part / image
        return path.with_suffix(".txt") if kind == "labels" else path

    def _copy(self, picture: Annotated, target: Path) -> None:
        if picture.photo is None:
            raise InputError(
                f"the photo {picture.file_name!r} is not found, which a training set needs; give "
                "--photos DIR, or --set photos=false for labels alone"
            )
        if imaging.read_size(picture.photo) != picture.size_hw:
            raise InputError(
                f"{str(picture.photo)!r} is not of {list(picture.size_hw)} pixels (height, width) "
                "as its masks are; give the photos that were annotated"
            )
        with picture.photo.open("rb") as file, imaging.writing(target) as out:
            shutil.copyfileobj(file, out)

    def close(self) -> Written:
        def rank(name: str) -> bytes:
            return blake2s(name.encode("utf-8", "surrogatepass")).digest()

        count = round(self._options.val * len(self._pictures))
        if self._options.val and len(self._pictures) > 1:
            count = max(count, 1)  # ultralytics wants some
        chosen = sorted(self._pictures, key=lambda one: rank(one[0]))[:count]
        validate = {image for _, image in chosen}
        kinds = ("labels", "images") if self._options.photos else ("labels",)
        for _, image in self._pictures:
            for kind in kinds:
                part = "val" if image in validate else "train"
                target = self._place(kind, part, image)
                if part == "val":
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(self._place(kind, "train", image), target)
                self.written.files.append(target)
        names = "".join(
            f"  {number}: {json.dumps(word, ensure_ascii=False)}\n"
            for word, number in self._numbers.items()
        )
        # Without "path", ultralytics takes the folder of this file.
        val = "images/val" if validate else "images/train"
        text = f"train: images/train\nval: {val}\nnames:\n{names}"
        imaging.write_bytes(self.folder / FILE, text.encode("utf-8", "backslashreplace"))
        self.written.files.append(self.folder / FILE)
        parts = f"{len(self._pictures) - count} pictures to train and {count} to validate"
        self.written.notes.append(f"{parts}; YOLO keeps no scores")
        return super().close()
