"""One click, one mask: the masker beside GrabCut, on objects that it never met.

Objects: the instances of COCO files that cover at least 0.5 % of their photo, and the one object of
every eighth frame of folders of videos (`<video>/images`, `<video>/masks`). The click is the pole
of inaccessibility of the object's largest part; GrabCut is seeded by a disc of 3 % of the short
side.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows.common import markdown, percent, progress
from lexiseg.protocols import LoadOptions

ABOUT = "masks of one click and of a box, beside GrabCut's, on objects never met"
NEEDS = ("data",)
_LEAST = 0.005  # of the photo
_EVERY = 8  # frames
_SPLITS = ("train", "val", "test")
_SAMPLES = 1000


def run(options: Namespace) -> dict[str, Any]:
    """Measure every set under the data folders that has objects."""
    from lexiseg.models import load_masker

    masker = load_masker("tiny", LoadOptions(device=options.device))
    sets: dict[str, list[dict[str, float]]] = {}
    for root in options.data:
        for folder in [root, *sorted(p for p in root.iterdir() if p.is_dir())]:
            rows = [_one(masker, *found) for found in _objects(folder, options)]
            if rows:
                sets[folder.name] = rows
    return {
        "masker": masker.name,
        "device": masker.device_name,
        "sets": [_summary(name, rows) for name, rows in sets.items()],
    }


def table(result: dict[str, Any]) -> str:
    """Return a line a set."""
    head = ["set", "objects", "one click", "best of three", "GrabCut", "times GrabCut", "box",
            "ms a picture", "ms a prompt"]  # fmt: skip
    lines = [
        [
            one["set"], one["objects"], _shown(one["click"]), percent(one["best"]["value"]),
            _shown(one["grabcut"]), f"{one['click']['value'] / one['grabcut']['value']:.2f}",
            percent(one["box"]["value"]), f"{one['ms_encode']:.0f}", f"{one['ms_prompt']:.1f}",
        ]
        for one in result["sets"]
    ]  # fmt: skip
    return markdown(head, lines) + "\n\nMean IoU in percent, with 95 % intervals over objects."


def short(result: dict[str, Any]) -> str:
    """Return the numbers that say most."""
    lines = [[one["set"], _shown(one["click"]), _shown(one["grabcut"])] for one in result["sets"]]
    return markdown(["set", "one click", "GrabCut"], lines)


def _shown(value: dict[str, float]) -> str:
    return f"{percent(value['value'])} ({percent(value['low'])} to {percent(value['high'])})"


def _summary(name: str, rows: list[dict[str, float]]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(rows), (_SAMPLES, len(rows)))
    out: dict[str, Any] = {"set": name, "objects": len(rows)}
    for key in ("click", "best", "grabcut", "box"):
        values = np.array([row[key] for row in rows])
        low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
        out[key] = {"value": float(values.mean()), "low": float(low), "high": float(high)}
    for key in ("ms_encode", "ms_prompt"):
        out[key] = float(np.median([row[key] for row in rows]))
    return out


def _objects(folder: Path, options: Namespace) -> Iterator[tuple[Any, NDArray[np.bool_]]]:
    """Photos and masks of a COCO file's split, or of a folder of videos."""
    from lexiseg import imaging
    from lexiseg.training.tiny.objects import load_instances

    show = progress(folder.name)
    if (folder / options.split / "instances.json").is_file():
        photos = load_instances(folder / options.split)
        for done, (path, masks) in enumerate(photos, start=1):
            rgb = imaging.read(path).rgb
            for mask in masks(rgb.shape[:2]):
                if mask.mean() >= _LEAST:
                    yield rgb, mask
            if show:
                show(done, len(photos))
        return
    for video in sorted(p for p in folder.iterdir() if (p / "masks").is_dir()):
        if not (video / "images").is_dir() or (video / "dataset.json").is_file():
            continue
        if video.name in _SPLITS:  # of a set with class masks
            continue
        for path in sorted((video / "images").iterdir())[::_EVERY]:
            rgb = imaging.read(path).rgb
            mask = imaging.read(video / "masks" / f"{path.stem}.png").rgb[..., 0] > 0
            if mask.mean() >= _LEAST:
                yield rgb, mask


def _one(masker: Any, rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> dict[str, float]:
    import torch

    from lexiseg.protocols import MaskPrompts
    from lexiseg.stages.mask_upsampling import upsample_masks

    x, y = _pole(mask)
    ys, xs = np.nonzero(mask)
    box = torch.tensor([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], dtype=torch.float32)
    click = MaskPrompts(torch.tensor([[[x + 0.5, y + 0.5]]]), torch.ones(1, 1, dtype=torch.int64))
    started = time.perf_counter()
    state = masker.encode(rgb)
    encoded = time.perf_counter()
    raw = masker.decode(state, click)
    decoded = time.perf_counter()
    found = [_iou(one, mask) for one in upsample_masks(raw)]
    boxed = upsample_masks(masker.decode(state, MaskPrompts(boxes_xyxy=box), candidates=1)).mask(0)
    return {
        "click": found[int(raw.quality.argmax())], "best": max(found), "box": _iou(boxed, mask),
        "grabcut": _iou(_grabcut(rgb, x, y), mask),
        "ms_encode": 1000 * (encoded - started), "ms_prompt": 1000 * (decoded - encoded),
    }  # fmt: skip


def _pole(mask: NDArray[np.bool_]) -> tuple[int, int]:
    import cv2

    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)


def _grabcut(rgb: NDArray[np.uint8], x: int, y: int) -> NDArray[np.bool_]:
    import cv2

    cv2.setRNGSeed(0)
    seeds = np.full(rgb.shape[:2], cv2.GC_PR_BGD, np.uint8)
    radius = max(1, round(0.03 * min(rgb.shape[:2])))
    cv2.circle(seeds, (x, y), radius, int(cv2.GC_FGD), -1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(rgb[..., ::-1].copy(), seeds, None, *models, 5, cv2.GC_INIT_WITH_MASK)
    return np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))
