"""Results as the objects of other libraries, which must be installed: supervision and FiftyOne."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from lexiseg.errors import ExtraMissing
from lexiseg.export.annotated import instances_of
from lexiseg.results import Segmentation

__all__ = ["to_fiftyone", "to_supervision"]


def to_supervision(seg: Segmentation) -> Any:
    """Return the instances as `supervision.Detections`, ready for its annotators and metrics.

    mask: (N, H, W) bool, exact. xyxy: (N, 4) tight boxes, half-open, in pixels. confidence: the
    scores. class_id: index into `seg.words`; data["class_name"]: the words.
    Raises ExtraMissing where supervision is not installed.
    """
    library = _library("supervision")
    seg = instances_of(seg)
    return library.Detections(
        xyxy=seg.masks.boxes_xyxy.astype(np.float32),
        mask=seg.masks.dense(),
        confidence=seg.scores.copy(),
        class_id=np.array([seg.index(word) for word in seg.labels.tolist()], np.int64),
        data={"class_name": np.array(seg.labels, np.str_)},
    )


def to_fiftyone(seg: Segmentation) -> Any:
    """Return the instances as `fiftyone.Detections`, a field of a FiftyOne sample.

    bounding_box: x, y, width, height in shares of the picture's sides; mask: the pixels inside
    it, exact. Raises ExtraMissing where FiftyOne is not installed.
    """
    library = _library("fiftyone")
    seg = instances_of(seg)
    height, width = seg.size_hw
    found = []
    for i, (x0, y0, x1, y1) in enumerate(seg.masks.boxes_xyxy.tolist()):
        if seg.masks.areas[i]:
            box = [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height]
            found.append(
                library.Detection(
                    label=str(seg.labels[i]),
                    bounding_box=box,
                    mask=seg.masks.crop(i),
                    confidence=float(seg.scores[i]),
                )
            )
    return library.Detections(detections=found)


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ExtraMissing(f"{name} is not installed: pip install {name}") from error
