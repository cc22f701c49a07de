"""From a video's file to files: an overlay with sound, masks, and tables of what was followed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg._version import __version__
from lexiseg.errors import NothingFound, OutputError
from lexiseg.video.reader import VideoReader
from lexiseg.video.tracking import TrackedFrame, TrackOptions, track
from lexiseg.video.writer import VideoWriter

if TYPE_CHECKING:
    import os

    from lexiseg.edit.steps import EditStep
    from lexiseg.protocols import Segmenter, Tracker

__all__ = ["VideoSummary", "run_video"]

_ALPHA = 0.5


@dataclass(frozen=True)
class VideoSummary:
    """files: what was written. objects: identity -> word, first and last frame, frames seen."""

    frames: int
    size_hw: tuple[int, int]
    objects: dict[int, dict[str, Any]]
    files: dict[str, str]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        return {
            "frames": self.frames,
            "height": self.size_hw[0],
            "width": self.size_hw[1],
            "objects": [{"id": one, **about} for one, about in self.objects.items()],
            "files": self.files,
            "notes": list(self.notes),
        }


@dataclass
class _Tables:
    """What is written down of each frame, in lines, so that memory does not grow."""

    out: Path
    objects: dict[int, dict[str, Any]] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self._lines = (self.out / "frames.jsonl").open("w", encoding="utf-8")
        self._mot = (self.out / "mot.txt").open("w", encoding="utf-8")

    def add(self, frame: TrackedFrame, seconds: float) -> None:
        seg = frame.result
        found = []
        for i, (one, rle, box) in enumerate(
            zip(frame.ids.tolist(), seg.masks.to_rle(), seg.masks.boxes_xyxy.tolist(), strict=True)
        ):
            x0, y0, x1, y1 = box
            word, score = str(seg.labels[i]), round(float(seg.scores[i]), 6)
            about = self.objects.setdefault(
                one, {"word": word, "first": frame.index, "last": frame.index, "seen": 0}
            )
            about["last"], about["seen"] = frame.index, about["seen"] + 1
            found.append({
                "id": one, "word": word, "score": score, "box_xywh": [x0, y0, x1 - x0, y1 - y0],
                "area": int(seg.masks.areas[i]), "rle": rle,
            })  # fmt: skip
            self._mot.write(
                f"{frame.index + 1},{one},{x0},{y0},{x1 - x0},{y1 - y0},{score},-1,-1,-1\n"
            )
        line = {"frame": frame.index, "seconds": round(seconds, 6), "key": frame.key}
        self._lines.write(json.dumps({**line, "objects": found}, ensure_ascii=False) + "\n")
        self._lines.flush()
        self.count += 1

    def close(self) -> None:
        self._lines.close()
        self._mot.close()

    def write_vis(self, name: str, size_hw: tuple[int, int]) -> None:
        """Write tracks.json, as YouTube-VIS and COCO-VID have it: a mask a frame, or null."""
        words = list(dict.fromkeys(about["word"] for about in self.objects.values()))
        height, width = size_hw
        with (self.out / "tracks.json").open("w", encoding="utf-8") as file:
            head = {
                "info": {"description": f"made by lexiseg {__version__}"},
                "videos": [{
                    "id": 1, "width": width, "height": height, "length": self.count,
                    "file_names": [f"masks/{i:06d}.png" for i in range(self.count)], "name": name,
                }],
                "categories": [{"id": k, "name": word} for k, word in enumerate(words, 1)],
            }  # fmt: skip
            file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "annotations": [')
            for number, (one, about) in enumerate(self.objects.items()):
                rows = list(self._of(one))
                annotation = {
                    "id": one, "video_id": 1, "category_id": words.index(about["word"]) + 1,
                    "iscrowd": 0, "width": width, "height": height,
                    "score": max((row["score"] for row in rows if row), default=0.0),
                    "segmentations": [row and row["rle"] for row in rows],
                    "bboxes": [row and row["box_xywh"] for row in rows],
                    "areas": [row and row["area"] for row in rows],
                }  # fmt: skip
                file.write((", " if number else "") + json.dumps(annotation, ensure_ascii=False))
            file.write("]}\n")

    def _of(self, one: int) -> Iterator[dict[str, Any] | None]:
        with (self.out / "frames.jsonl").open(encoding="utf-8") as file:
            for line in file:
                rows = json.loads(line)["objects"]
                yield next((row for row in rows if row["id"] == one), None)


def run_video(
    path: str | os.PathLike[str],
    words: str | Sequence[str] | None,
    out: str | os.PathLike[str],
    *,
    segmenter: Segmenter,
    tracker: Tracker | None = None,
    points: Mapping[int, Sequence[Sequence[float]]] | None = None,
    options: TrackOptions | None = None,
    steps: Sequence[EditStep] = (),
    progress: Callable[[int, int], None] | None = None,
) -> VideoSummary:
    """Follow what words name through a video, and write what came of it into a new folder.

    overlay.mp4 (times and sound as in the source), masks/NNNNNN.png (a value an identity),
    frames.jsonl (a line a frame), tracks.json (YouTube-VIS), mot.txt (MOT Challenge), result.json;
    with steps, edited.mp4. progress: called with (frame, frames), 0 where the number is not known.
    Where it is interrupted, the lines and masks of all frames before are whole.

    Raises PictureError for what is no video, NothingFound where no frame shows any of it, and
    OutputError where the folder holds something else already.
    """
    from lexiseg.edit.steps import run_steps

    folder = Path(out)
    if folder.exists() and any(folder.iterdir()) and not (folder / "frames.jsonl").is_file():
        raise OutputError(f"{str(folder)!r} holds files of something else; give another --out")
    with ExitStack() as stack:
        reader = stack.enter_context(VideoReader(path))
        tables = _Tables(folder)
        stack.callback(tables.close)
        overlay = VideoWriter(folder / "overlay.mp4", reader)
        stack.callback(overlay.abandon)
        edited = VideoWriter(folder / "edited.mp4", reader) if steps else None
        if edited is not None:
            stack.callback(edited.abandon)
        shown: list[tuple[NDArray[np.uint8], int]] = []

        def audio(packet: Any) -> None:
            overlay.add_audio(packet)

        def pixels() -> Iterator[NDArray[np.uint8]]:
            for frame in reader.frames(audio):
                shown[:] = [(frame.rgb, frame.pts)]
                yield frame.rgb

        for frame in track(
            segmenter, pixels(), words, tracker=tracker, points=points, options=options
        ):
            rgb, pts = shown[0]
            tables.add(frame, float(pts * reader.time_base))
            _write_masks(folder / "masks" / f"{frame.index:06d}.png", frame)
            overlay.add(_paint_tracks(rgb, frame), pts)
            if edited is not None:
                edited.add(_edited(rgb, frame, steps, run_steps), pts)
            if progress is not None:
                progress(frame.index + 1, reader.num_frames)
        overlay.close()
        if edited is not None:
            edited.close()
        tables.close()
        tables.write_vis(Path(path).name, reader.size_hw)
        files = {
            "overlay": "overlay.mp4", "masks": "masks", "frames": "frames.jsonl",
            "tracks": "tracks.json", "mot": "mot.txt",
        }  # fmt: skip
        if edited is not None:
            files["edited"] = "edited.mp4"
        summary = VideoSummary(
            tables.count, reader.size_hw, tables.objects, files, tuple(reader.notes)
        )
        text = json.dumps(summary.to_json(), ensure_ascii=False, indent=1) + "\n"
        imaging.write_text(folder / "result.json", text)
    if not summary.objects:
        raise NothingFound(f"nothing found in {summary.frames:,} frames of {str(path)!r}")
    return summary


def _paint_tracks(rgb: NDArray[np.uint8], frame: TrackedFrame) -> NDArray[np.uint8]:
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
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb((one * 0.61803) % 1, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _write_masks(path: Path, frame: TrackedFrame) -> None:
    """A value an identity: 8 bits with a palette, 16 where identities pass 255."""
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
    path.parent.mkdir(exist_ok=True)
    imaging.write(path, values, palette=palette)


def _edited(
    rgb: NDArray[np.uint8], frame: TrackedFrame, steps: Sequence[EditStep], run_steps: Any
) -> NDArray[np.uint8]:
    """Return a frame after the steps whose words it shows."""
    seg = frame.result
    there = [step for step in steps if any(name in seg.found for name in step.names)]
    if not there:
        return rgb
    picture = imaging.read(rgb)
    edited: NDArray[np.uint8] = run_steps(picture, seg, there).rgb
    return edited
