"""Instances of one or more pictures as a COCO data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lexiseg._version import __version__
from lexiseg.results import Segmentation

__all__ = ["coco_json", "to_coco"]


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
    "annotations" also serves as a COCO result file.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    for image_id, (file_name, seg) in enumerate(results, first_image_id):
        height, width = seg.size_hw
        images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
        for word in seg.words:
            numbers.setdefault(word, len(numbers) + 1)
        areas = seg.masks.areas.tolist()
        boxes = seg.masks.boxes_xyxy.tolist()
        for i, rle in enumerate(seg.masks.to_rle()):
            x0, y0, x1, y1 = boxes[i]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": numbers[str(seg.labels[i])],
                    "segmentation": rle,
                    "area": areas[i],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "iscrowd": 0,
                    "score": round(float(seg.scores[i]), 6),
                }
            )
    return {
        "info": {"description": f"made by lexiseg {__version__}"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": word, "supercategory": ""} for word, number in numbers.items()
        ],
    }
