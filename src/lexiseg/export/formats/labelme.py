"""LabelMe JSON, a file a picture: each mask as a PNG of its box (shape_type "mask")."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageDraw

from lexiseg import imaging
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.format import PictureFormat, Writer
from lexiseg.export.shapes import Shapes
from lexiseg.export.source import Source
from lexiseg.masks import Masks

__all__ = ["FORMAT", "LabelMe"]

_VERSION = "5.5.0"  # the first that has shapes of type "mask" in every build
_AREAS = ("polygon", "rectangle", "circle", "mask", "oriented_rectangle", None)


@dataclass(frozen=True)
class LabelMe(PictureFormat):
    """Lay the files beside the photos: LabelMe looks for a photo in the folder of its file.

    Polygons, rectangles and circles are read as LabelMe's own `shape_to_mask` draws them, with
    Pillow, outline included; shapes of one group_id and label are one instance.
    """

    name: ClassVar[str] = "labelme"
    summary: ClassVar[str] = "LabelMe JSON, masks as PNG in shapes of type mask"
    keeps: ClassVar[str] = "all: masks, words, scores"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _LabelMeWriter(self, folder, words)

    def accepts_file(self, source: Source) -> bool:
        content = source.json
        return isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys()

    def read_file(self, source: Source, file_name: str) -> Annotated:
        content = source.json
        try:
            photo_name = PurePosixPath(str(content["imagePath"]).replace("\\", "/"))
            size = (int(content["imageHeight"]), int(content["imageWidth"]))
            shapes, passed = Shapes(size), 0
            for one in content["shapes"]:
                if one.get("shape_type") not in _AREAS:
                    passed += 1
                    continue
                score = float(one.get("score", 1))
                shapes.add(one["label"], _mask(one, size), score, one.get("group_id"))
            words = content.get("words", [])
            seg = segmentation_of(
                words, shapes.labels, shapes.masks, shapes.scores, source=self.name
            )
        except (KeyError, TypeError, ValueError, AttributeError, OSError, IndexError) as error:
            raise source.wrong(f"at {error}", "LabelMe file") from error
        if passed:
            source.notes.append(f"{file_name}: {passed} lines and points have no area, left out")
        name = (PurePosixPath(file_name).parent / photo_name.name).as_posix()
        return Annotated(name, seg, source.photo(str(photo_name)))


FORMAT = LabelMe()


def _mask(shape: Mapping[str, Any], size_hw: tuple[int, int]) -> Masks:
    """Return a shape as LabelMe draws it; raises ValueError."""
    height, width = size_hw
    points = [(float(x), float(y)) for x, y in shape["points"]]
    kind = shape.get("shape_type") or "polygon"
    if kind == "mask":
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as image:
            crop = np.array(image).astype(np.bool_)
        x, y = (int(value) for value in points[0])
        if x < 0 or y < 0 or crop.ndim != 2:
            raise ValueError(f"a mask at x {x}, y {y}")
        return Masks.from_crops(size_hw, [(x, y)], [crop[: height - y, : width - x]])
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    if kind == "circle":
        (cx, cy), (px, py) = points
        radius = float(np.hypot(cx - px, cy - py))
        draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), outline=1, fill=1)
    elif kind == "rectangle":
        (xa, ya), (xb, yb) = points
        draw.rectangle((min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb)), outline=1, fill=1)
    elif len(points) > 2:
        draw.polygon(points, outline=1, fill=1)
    return Masks.from_dense(np.array(canvas)[None])


class _LabelMeWriter(Writer):
    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        height, width = seg.size_hw
        content: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": [
                {
                    "label": str(seg.labels[i]),
                    "points": [[x0, y0], [x1 - 1, y1 - 1]],  # both pixels belong to the box
                    "group_id": None,
                    "description": "",
                    "shape_type": "mask",
                    "flags": {},
                    "mask": _png(seg.masks, i),
                    "score": round(float(seg.scores[i]), 6),
                }
                for i, (x0, y0, x1, y1) in enumerate(seg.masks.boxes_xyxy.tolist())
                if seg.masks.areas[i]
            ],
            "words": list(seg.words),
            "imagePath": PurePosixPath(picture.file_name).name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        path = self.folder / f"{picture.stem}.json"
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        imaging.write_bytes(path, text.encode("utf-8", "backslashreplace"))
        self.written.files.append(path)


def _png(masks: Masks, i: int) -> str:
    data = io.BytesIO()
    Image.fromarray(masks.crop(i).astype(np.uint8) * 255).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")
