"""Removal from videos: what comes in the hole, beside the truth, and how it changes over time.

A textured patch moves over each clip of DAVIS 2016, so that what is behind it is known. PSNR is of
the hole. The warping error (Lai et al., 2018) is the mean difference, in grey levels, between a
frame's hole and the frame before moved onto it by the true clip's flow: what flickers has a large
one. The true clip has one too, of noise and of what the flow gets wrong.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import video
from benchmarks.rows.common import markdown, progress

ABOUT = "removal from videos: from other frames, beside each frame filled by itself"
NEEDS = ("data",)
# The constants of the fill were chosen on these.
_TUNED = ("camel", "car-shadow", "dog", "libby")

Frames = list[NDArray[np.uint8]]
Holes = list[NDArray[np.bool_]]


def run(options: Namespace) -> dict[str, Any]:
    """Measure all clips under the data folders; `--limit` takes the first frames of each."""
    clips = video.clip_folders(options.data)
    show = progress("clips")
    rows = []
    for number, (name, folder) in enumerate(clips.items(), 1):
        rows.append(_measured(name, folder, options.limit))
        if show is not None:
            show(number, len(clips))
    return {"clips": rows}


def table(result: dict[str, Any]) -> str:
    """Return a line a clip, and the means."""
    rows = result["clips"]
    rest = [one for one in rows if not one["tuned"]]
    lines = [_line(one["clip"], [one]) for one in rows]
    lines += [_line("all clips", rows)]
    lines += [_line("clips that nothing was chosen on", rest)] if rest else []
    return markdown(
        ["clip", "frames", "PSNR, other frames", "each by itself", "warping error, other frames",
         "each by itself", "the truth"], lines,
    )  # fmt: skip


def _line(name: str, rows: list[dict[str, Any]]) -> list[Any]:
    def mean(way: str, key: str) -> str:
        return f"{np.mean([one[way][key] for one in rows]):.1f}"

    return [
        name, sum(one["frames"] for one in rows), mean("temporal", "psnr"), mean("still", "psnr"),
        mean("temporal", "warping"), mean("still", "warping"), mean("truth", "warping"),
    ]  # fmt: skip


def _measured(name: str, folder: Path, limit: int | None) -> dict[str, Any]:
    from lexiseg.video.temporal_fill import TemporalFill

    truth, _ = video.read_clip(folder, limit)
    frames, holes = _covered(truth)
    ways = {
        "temporal": TemporalFill().fill(frames, holes, 0, len(frames)),
        "still": [_still(rgb, hole) for rgb, hole in zip(frames, holes, strict=True)],
    }
    errors = {way: _warping(made, truth, holes) for way, made in {**ways, "truth": truth}.items()}
    psnr = {way: _psnr(made, truth, holes) for way, made in ways.items()}
    out: dict[str, Any] = {"clip": name, "frames": len(frames), "tuned": name in _TUNED}
    for way, error in errors.items():
        out[way] = {"warping": error, **({"psnr": psnr[way]} if way in psnr else {})}
    return out


def _covered(truth: Frames) -> tuple[Frames, Holes]:
    """The frames with a patch that moves from left to right, and holes around it."""
    import cv2

    from lexiseg.edit.region import Region

    height, width = truth[0].shape[:2]
    rows, columns = round(0.28 * height), round(0.14 * width)
    colours = np.random.default_rng(1).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    patch = cv2.resize(colours, (columns, rows), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:rows, :columns]
    inside = (2 * y / rows - 1) ** 2 + (2 * x / columns - 1) ** 2 < 1
    frames, holes = [], []
    for k, rgb in enumerate(truth):
        left = round((0.15 + 0.55 * k / max(1, len(truth) - 1)) * width)
        top = round((0.4 + 0.06 * np.sin(k / 3)) * height)
        at = (slice(top, top + rows), slice(left, left + columns))
        frame, mask = rgb.copy(), np.zeros((height, width), np.bool_)
        frame[at][inside], mask[at] = patch[inside], inside
        region = Region.from_mask(mask, dilation=5, blur=8)
        hole = np.zeros_like(mask)
        hole[region.window] = region.weight > 0
        frames.append(frame)
        holes.append(hole)
    return frames, holes


def _still(rgb: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    from lexiseg import imaging
    from lexiseg.edit.fill_region import fill_region
    from lexiseg.edit.region import Region

    region, out = Region.from_mask(hole), rgb.copy()
    filled = fill_region(imaging.read(rgb), region).rgb
    out[region.window][region.weight > 0] = filled[region.weight > 0]
    return out


def _psnr(made: Frames, truth: Frames, holes: Holes) -> float:
    """Mean over frames, in decibels, of holes alone."""
    values = []
    for one, true, hole in zip(made, truth, holes, strict=True):
        error = np.mean((one[hole].astype(np.float64) - true[hole]) ** 2)
        values.append(10 * np.log10(255**2 / max(float(error), 1e-3)))
    return float(np.mean(values))


def _warping(made: Frames, truth: Frames, holes: Holes) -> float:
    """Mean over frames, where the true clip's own flow holds."""
    import cv2

    rows, columns = np.mgrid[: truth[0].shape[0], : truth[0].shape[1]].astype(np.float32)
    finder: Any = cv2
    values = []
    for k in range(1, len(made)):
        grey = [cv2.cvtColor(truth[n], cv2.COLOR_RGB2GRAY) for n in (k, k - 1)]
        flow = finder.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
        x, y = columns + flow[..., 0], rows + flow[..., 1]

        def apart(frames: Frames) -> NDArray[Any]:
            before = cv2.remap(frames[k - 1], x, y, cv2.INTER_LINEAR).astype(np.float32)  # noqa: B023
            return np.asarray(np.abs(before - frames[k]).mean(2))  # noqa: B023

        where = holes[k] & (apart(truth) < 20)
        if where.any():
            values.append(float(apart(made)[where].mean()))
    return float(np.mean(values))
