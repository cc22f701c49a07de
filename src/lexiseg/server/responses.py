"""What clients get: results as JSON, masks in the form that they asked for."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from lexiseg import imaging
from lexiseg.edit import EditResult
from lexiseg.export import result_json
from lexiseg.imaging import Picture
from lexiseg.masks import Masks
from lexiseg.results import Segmentation
from lexiseg.visualize import palette

__all__ = ["edit_document", "segment_document"]


def segment_document(
    seg: Segmentation, picture: Picture, digest: str, masks: str, max_masks: int
) -> dict[str, Any]:
    """Return a result as JSON: `result_json` with its label map, and what a client needs beside.

    masks: "rle": COCO run lengths, in `instances`, `label_map` and `wholes`. Other forms stand in
    place of the run length of each instance: "png", base64 of a black and white file of the
    instance's box; "polygons", a list of [x, y, x, y, ...] an instance, holes among them. "index":
    none of them, but `index_map`, base64 of a PNG with i + 1 where word i is, 0 elsewhere.
    """
    count = len(seg)
    if count > max_masks:
        best = np.sort(np.argsort(-seg.scores, kind="stable")[:max_masks])
        seg = seg[best]
    document = result_json(seg, picture=picture, label_map=masks == "rle")
    document["image"] |= {"digest": digest, "file_name": None}
    document["num_instances"] = count  # before the limit of masks
    colours = palette(seg.words, seg.found)
    for item, colour in zip(document["vocabulary"], colours.tolist(), strict=True):
        item["colour"] = "#{:02x}{:02x}{:02x}".format(*colour)
    if masks != "rle":
        for i, item in enumerate(document["instances"]):
            del item["rle"]
            if masks == "png":
                item["png"] = _base64(_crop_png(seg.masks, i))
            elif masks == "polygons":
                item["polygons"] = _polygons(seg.masks, i)
    if masks == "index":
        deep = np.uint8 if len(seg.words) < 255 else np.uint16
        values = (seg.label_map.astype(np.int32) + 1).astype(deep)
        document["index_map"] = _base64(imaging.encode("map.png", values))
    return document


def edit_document(
    result: EditResult, suffix: str, extra: Mapping[str, Any]
) -> tuple[dict[str, Any], list[bytes]]:
    """Return what an edit did as JSON, the files in it as base64, and the files themselves."""
    files = [result.to_bytes(f".{suffix}", n) for n in range(len(result.pictures))]
    document = {
        **result.to_json(),
        **extra,
        "files": [{"format": suffix, "data": _base64(data)} for data in files],
    }
    return document, files


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _crop_png(masks: Masks, index: int) -> bytes:
    x0, y0, x1, y1 = masks.boxes_xyxy[index].tolist()
    return imaging.encode("mask.png", masks[index].union()[y0:y1, x0:x1])


def _polygons(masks: Masks, index: int) -> list[list[float]]:
    """Outlines along the centres of border pixels, as OpenCV follows them; holes are outlines."""
    import cv2

    x0, y0, x1, y1 = masks.boxes_xyxy[index].tolist()
    crop = masks[index].union()[y0:y1, x0:x1].astype(np.uint8)
    outlines, _ = cv2.findContours(crop, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0))
    return [outline.reshape(-1).tolist() for outline in outlines]
