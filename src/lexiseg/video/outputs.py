"""What is written of followed objects: lines a frame, tables of all, and pictures of them."""

from __future__ import annotations

import colorsys
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg._version import __version__
from lexiseg.masks import Masks
from lexiseg.results import Provenance
from lexiseg.video.tracking import TrackedFrame, frame_result

__all__ = ["frame_line", "note_objects", "paint_tracks", "read_frame", "write_masks",
           "write_tables"]  # fmt: skip

_ALPHA = 0.5
_AT_ONCE = 16  # objects whose masks are in memory while tracks.json is written

Objects = dict[int, dict[str, Any]]


def frame_line(frame: TrackedFrame, seconds: float) -> dict[str, Any]:
    """Return what frames.jsonl tells of a frame, as JSON values."""
    seg = frame.result
    found = []
    for i, (one, rle, box) in enumerate(
        zip(frame.ids.tolist(), seg.masks.to_rle(), seg.masks.boxes_xyxy.tolist(), strict=True)
    ):
        x0, y0, x1, y1 = box
        found.append({
            "id": one, "word": str(seg.labels[i]), "score": round(float(seg.scores[i]), 6),
            "box_xywh": [x0, y0, x1 - x0, y1 - y0], "area": int(seg.masks.areas[i]), "rle": rle,
        })  # fmt: skip
    line = {"frame": frame.index, "seconds": round(seconds, 6), "key": frame.key}
    return {**line, "objects": found}


def read_frame(
    line: dict[str, Any], size_hw: tuple[int, int], names: tuple[str, ...]
) -> TrackedFrame:
    """Return the frame of which `frame_line` gave the line; names: words that were asked for."""
    rows = line["objects"]
    seg = frame_result(
        Masks.from_rle([row["rle"] for row in rows], size_hw),
        [row["word"] for row in rows],
        [row["score"] for row in rows],
        names,
        Provenance(method="track", encoder=""),
    )
    ids = np.array([row["id"] for row in rows], np.int64)
    return TrackedFrame(line["frame"], seg, ids, line["key"])


def note_objects(objects: Objects, line: dict[str, Any]) -> None:
    """Add what a frame shows to identity -> word, first and last frame, frames seen."""
    index = line["frame"]
    for row in line["objects"]:
        new = {"word": row["word"], "first": index, "last": index, "seen": 0}
        about = objects.setdefault(row["id"], new)
        about["last"], about["seen"] = index, about["seen"] + 1


def write_masks(path: Path, frame: TrackedFrame) -> None:
    """Write a value an identity: 8 bits with a palette, 16 where identities pass 255."""
    masks = frame.result.masks
    deep = int(frame.ids.max(initial=0)) > 255
    values = np.zeros(masks.size_hw, np.uint16 if deep else np.uint8)
    boxes = masks.boxes_xyxy.tolist()
    for i in np.argsort(-masks.areas, kind="stable").tolist():
        x0, y0, x1, y1 = boxes[i]
        values[y0:y1, x0:x1][masks.crop(i)] = int(frame.ids[i])
    palette = None
    if not deep:
        palette = np.array([(0, 0, 0), *(_colour_of(k) for k in range(1, 256))], np.uint8)
    imaging.write(path, values, palette=palette)


def write_tables(frames: Path, objects: Objects, name: str, size_hw: tuple[int, int]) -> None:
    """Write mot.txt (MOT Challenge) and tracks.json (YouTube-VIS, COCO-VID) beside frames.jsonl."""
    places = array("q")  # where the line of each frame begins
    with frames.open("rb") as lines, imaging.writing(frames.with_name("mot.txt")) as mot:
        place = 0
        for text in lines:
            places.append(place)
            place += len(text)
            line = json.loads(text)
            for row in line["objects"]:
                box = ",".join(str(side) for side in row["box_xywh"])
                mot.write(
                    f"{line['frame'] + 1},{row['id']},{box},{row['score']},-1,-1,-1\n".encode()
                )
    words = list(dict.fromkeys(about["word"] for about in objects.values()))
    height, width = size_hw
    head = {
        "info": {"description": f"made by lexiseg {__version__}"},
        "videos": [{
            "id": 1, "width": width, "height": height, "length": len(places), "name": name,
            "file_names": [f"masks/{i:06d}.png" for i in range(len(places))],
        }],
        "categories": [{"id": k, "name": word} for k, word in enumerate(words, 1)],
    }  # fmt: skip
    with imaging.writing(frames.with_name("tracks.json")) as file:
        file.write(_json(head)[:-1] + b', "annotations": [')
        for number, (one, about, rows) in enumerate(_tracks(frames, objects, places)):
            annotation = {
                "id": one, "video_id": 1, "category_id": words.index(about["word"]) + 1,
                "iscrowd": 0, "width": width, "height": height,
                "score": max((row["score"] for row in rows if row), default=0.0),
                "segmentations": [row and row["rle"] for row in rows],
                "bboxes": [row and row["box_xywh"] for row in rows],
                "areas": [row and row["area"] for row in rows],
            }  # fmt: skip
            file.write((b", " if number else b"") + _json(annotation))
        file.write(b"]}\n")


def _tracks(
    frames: Path, objects: Objects, places: array[int]
) -> Iterator[tuple[int, dict[str, Any], list[dict[str, Any] | None]]]:
    """Each identity, about it, and its row in each frame or None; some at a time, for memory."""
    left = sorted(objects.items(), key=lambda one: one[1]["first"])
    with frames.open("rb") as file:
        while left:
            group, left = left[:_AT_ONCE], left[_AT_ONCE:]
            rows: dict[int, list[Any]] = {one: [None] * len(places) for one, _ in group}
            first = min(about["first"] for _, about in group)
            file.seek(places[first])
            for index in range(first, max(about["last"] for _, about in group) + 1):
                for row in json.loads(file.readline())["objects"]:
                    if row["id"] in rows:
                        rows[row["id"]][index] = row
            for one, about in group:
                yield one, about, rows.pop(one)


def paint_tracks(rgb: NDArray[np.uint8], frame: TrackedFrame) -> NDArray[np.uint8]:
    """Return a frame with its objects painted over it, a colour an identity, and their names."""
    import cv2

    out = rgb.copy()
    masks = frame.result.masks
    for i in np.argsort(-masks.areas, kind="stable").tolist():
        one = int(frame.ids[i])
        colour = np.array(_colour_of(one), np.float32)
        x0, y0, x1, y1 = masks.boxes_xyxy[i].tolist()
        crop = masks.crop(i)
        part = out[y0:y1, x0:x1]
        part[crop] = ((1 - _ALPHA) * part[crop] + _ALPHA * colour).astype(np.uint8)
        outlines, _ = cv2.findContours(
            crop.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x0, y0)
        )
        cv2.drawContours(out, outlines, -1, colour.tolist(), max(1, rgb.shape[0] // 360))
        text = f"{frame.result.labels[i]} {one}"
        size = max(0.4, rgb.shape[0] / 900)
        place = (x0 + 2, max(y0 + 2, int(18 * size)) + int(12 * size))
        for ink, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            thick = max(1, round(width * size * 1.5))
            cv2.putText(out, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, ink, thick, cv2.LINE_AA)
    return out


def _colour_of(one: int) -> tuple[int, int, int]:
    """Return the colour of an identity, RGB: hues are a golden angle apart."""
    red, green, blue = colorsys.hsv_to_rgb((one * 0.61803) % 1, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
