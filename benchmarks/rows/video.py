"""Following objects: the bundled tracker, beside the first mask copied and every frame anew.

Clips: folders `<video>/images`, `<video>/masks` of DAVIS 2016, one object each, whose first
mask is given. Anew: in each frame the pixels of the object's word, by the bundled model. Crossing:
the objects of two clips, cut out by their true masks, pass each other on one ground.
"""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import resident_mb
from benchmarks.rows.common import markdown, percent, progress

ABOUT = "objects followed through videos, beside the first mask copied and every frame anew"
NEEDS = ("data",)
# What the object of a clip is called, for asking anew in every frame; others by their folder.
_WORDS = {
    "bmx-trees": "person", "car-shadow": "car", "dance-twirl": "person", "drift-chicane": "car",
    "drift-straight": "car", "libby": "dog", "motocross-jump": "motorcycle",
    "paragliding-launch": "person", "parkour": "person", "scooter-black": "scooter",
}  # fmt: skip
# The tracker's constants were chosen on these.
_TUNED = ("bmx-trees", "dance-twirl", "drift-straight", "paragliding-launch")
_CROSSING = (("dog", "camel"), ("libby", "scooter-black"))
_STEPS = 24
_LONG, _LONG_WH = 5000, (160, 90)  # frames of one clip to and fro, from file to files

Clip = tuple[list[NDArray[np.uint8]], list[NDArray[np.bool_]]]


def run(options: Namespace) -> dict[str, Any]:
    """Measure all clips under the data folders; `--limit` takes the first frames of each."""
    import lexiseg
    from lexiseg.models import load_tracker
    from lexiseg.protocols import LoadOptions

    tracker = load_tracker("tiny", LoadOptions(device=options.device))
    segmenter: Any = lexiseg.load("tiny", device=options.device, instances="off")
    clips = clip_folders(options.data)
    show = progress("clips")
    rows = []
    for number, (name, folder) in enumerate(clips.items(), 1):
        rows.append(_measured(name, read_clip(folder, options.limit), tracker, segmenter))
        if show is not None:
            show(number, len(clips))
    crossing = [
        _crossing(read_clip(clips[one], _STEPS), read_clip(clips[other], _STEPS), tracker)
        for one, other in _CROSSING
        if one in clips and other in clips
    ]
    frames = _LONG if options.limit is None else 10 * options.limit
    long = _long(read_clip(clips["dog"], None)[0], frames) if "dog" in clips else None
    return {"tracker": tracker.name, "clips": rows, "crossing": crossing, "long": long}


def table(result: dict[str, Any]) -> str:
    """Return a line a clip, and the means."""
    rows = result["clips"]
    means = [
        ("all clips", rows),
        ("clips that nothing was chosen on", [one for one in rows if not one["tuned"]]),
    ]
    lines = [_line(one["clip"], one) for one in rows]
    lines += [_line(name, _mean(some)) for name, some in means if some]
    head = ["clip", "frames", "J&F followed", "J", "F", "first copied", "every frame anew",
            "frames a second"]  # fmt: skip
    switches = sum(one["switches"] for one in result["crossing"])
    frames = sum(one["frames"] for one in result["crossing"])
    crossed = (
        f"\n\nTwo objects that cross, {len(result['crossing'])} pairs, {frames} frames: {switches} "
        "identities switched."
    )
    long = result.get("long")
    if long is None:
        return markdown(head, lines) + crossed
    size = "x".join(str(side) for side in long["size_wh"])
    return (
        markdown(head, lines)
        + crossed
        + (
            f"\n\nA video of {long['frames']:,} frames of {size}, from file to files: memory "
            f"{long['memory_fifth_mb']:,} MB after {long['frames'] // 5:,} frames, "
            f"{long['memory_end_mb']:,} MB at the end; {long['objects']:,} identities."
        )
    )


def short(result: dict[str, Any]) -> str:
    """Return the means."""
    return markdown(
        ["clips", "frames", "J&F followed", "J", "F", "first copied", "every frame anew",
         "frames a second"],
        [_line("all", _mean(result["clips"]))],
    )  # fmt: skip


def _line(name: str, one: dict[str, Any]) -> list[Any]:
    return [
        name, one["frames"], percent(one["followed"]["j_and_f"]), percent(one["followed"]["j"]),
        percent(one["followed"]["f"]), percent(one["copied"]["j_and_f"]),
        percent(one["anew"]["j_and_f"]), f"{one['rate']:.1f}",
    ]  # fmt: skip


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    ways = {
        way: {key: float(np.mean([one[way][key] for one in rows])) for key in ("j_and_f", "j", "f")}
        for way in ("followed", "copied", "anew")
    }
    frames = sum(one["frames"] for one in rows)
    return {**ways, "frames": frames, "rate": frames / sum(one["seconds"] for one in rows)}


def clip_folders(roots: Sequence[Path]) -> dict[str, Path]:
    """Return the folders of clips under data folders, by name."""
    return {
        folder.name: folder
        for root in roots
        for base in (root, root / "davis")
        for folder in sorted(base.iterdir() if base.is_dir() else ())
        if (folder / "images").is_dir() and (folder / "masks").is_dir() and _is_video(folder)
    }


def _is_video(folder: Path) -> bool:
    return (
        len(list((folder / "images").iterdir())) > 1 and (folder.parent / "dataset.json").exists()
    )


def read_clip(folder: Path, limit: int | None) -> Clip:
    """Return frames, (H, W, 3) each, and true masks, (H, W) bool each."""
    from lexiseg import imaging

    images = sorted((folder / "images").iterdir())[:limit]
    masks = sorted((folder / "masks").iterdir())[:limit]
    return (
        [imaging.read(path).rgb for path in images],
        [imaging.read_indices(path) > 0 for path in masks],
    )


def _measured(name: str, clip: Clip, tracker: Any, segmenter: Any) -> dict[str, Any]:
    from lexiseg.masks import Masks

    frames, truth = clip
    started = time.perf_counter()
    memory = tracker.add(tracker.start(frames[0]), Masks.from_dense(truth[0][None]), [1])
    followed = [truth[0]]
    for rgb in frames[1:]:
        tracks, memory = tracker.step(memory, rgb)
        followed.append(tracks.masks.union())
    seconds = time.perf_counter() - started
    word = _WORDS.get(name, name)
    anew = [segmenter(rgb, [word]).mask(word) for rgb in frames]
    return {
        "clip": name, "frames": len(frames), "tuned": name in _TUNED, "word": word,
        "followed": _scores(followed, truth), "copied": _scores([truth[0]] * len(truth), truth),
        "anew": _scores(anew, truth), "seconds": seconds, "rate": len(frames) / seconds,
    }  # fmt: skip


def _scores(pred: list[NDArray[np.bool_]], truth: list[NDArray[np.bool_]]) -> dict[str, float]:
    from lexiseg.metrics import VideoMetrics

    metrics = VideoMetrics()
    metrics.add(pred, truth)
    found = metrics.compute()
    return {"j_and_f": found.j_and_f, "j": found.j_mean, "f": found.f_mean}


def _crossing(one: Clip, other: Clip, tracker: Any) -> dict[str, Any]:
    """Let two objects pass each other, the first in front; count frames with swapped identities."""
    from lexiseg.masks import Masks

    count = min(len(one[0]), len(other[0]))
    height, width = one[0][0].shape[:2]
    ground = np.full((height, width, 3), 128, np.uint8)
    switches, swapped, memory = 0, False, None
    for step in range(count):
        away = round((0.35 - 0.7 * step / (count - 1)) * width)
        front, front_mask = _moved(one, step, -away)
        back, back_mask = _moved(other, step, away)
        rgb = np.where(back_mask[..., None], back, ground)
        rgb = np.where(front_mask[..., None], front, rgb)
        back_mask &= ~front_mask
        if memory is None:
            given = Masks.from_dense(np.stack([front_mask, back_mask]))
            memory = tracker.add(tracker.start(rgb), given, [1, 2])
            continue
        tracks, memory = tracker.step(memory, rgb)
        truth = Masks.from_dense(np.stack([front_mask, back_mask]))
        overlap = tracks.masks.iou(truth)
        straight, crossed = overlap[0, 0] + overlap[1, 1], overlap[0, 1] + overlap[1, 0]
        now = bool(crossed > straight)
        switches += now != swapped
        swapped = now
    return {"frames": count, "switches": switches}


def _long(frames: list[NDArray[np.uint8]], count: int) -> dict[str, Any]:
    """What `run_video` holds in memory while it works through one clip, to and fro, as a file."""
    import tempfile

    import av
    import cv2

    import lexiseg

    there = [cv2.resize(rgb, _LONG_WH, interpolation=cv2.INTER_AREA) for rgb in frames]
    turn = [*there, *there[-2:0:-1]]
    held: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "long.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height = _LONG_WH
            stream.pix_fmt = "yuv420p"
            for k in range(count):
                one = av.VideoFrame.from_ndarray(turn[k % len(turn)], format="rgb24")
                container.mux(stream.encode(one))
            container.mux(stream.encode())
        summary = lexiseg.run_video(
            path, ["dog", "grass"], Path(name) / "out", segmenter=lexiseg.load("tiny"),
            progress=lambda done, total: held.append(resident_mb(os.getpid())),
        )  # fmt: skip
    window = max(1, count // 50)
    fifth, end = (float(np.median(held[stop - window : stop])) for stop in (count // 5, count))
    return {
        "frames": count, "size_wh": list(_LONG_WH), "objects": len(summary.objects),
        "memory_fifth_mb": round(fifth), "memory_end_mb": round(end),
    }  # fmt: skip


def _moved(clip: Clip, step: int, right: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A frame and its object, the object's middle moved to the picture's and then to the right."""
    rgb, mask = clip[0][step], clip[1][step]
    columns = np.flatnonzero(mask.any(0))
    middle = int(columns.mean()) if len(columns) else mask.shape[1] // 2
    shift = mask.shape[1] // 2 - middle + right
    out, inside = np.zeros_like(rgb), np.zeros_like(mask)
    width = mask.shape[1]
    to = slice(max(0, shift), min(width, width + shift))
    since = slice(max(0, -shift), min(width, width - shift))
    out[:, to], inside[:, to] = rgb[:, since], mask[:, since]
    return out, inside
