"""Instances: how many things are found and counted rightly, by method, on photos with instances.

All classes of the set are asked at once. Average precision is COCO's, of masks, by pycocotools.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import Unmeasurable
from benchmarks.rows.common import markdown, percent, progress
from benchmarks.rows.speed import PHOTO, SMALL_WH, WORDS

ABOUT = "things found and counted, all classes asked at once: methods that give instances"
NEEDS = ("data", "package:pycocotools")

MIN_AREA = 1024  # pixels of an object that counts as findable
SAME = 0.5  # IoU from which on a mask is an object
HELD = 0.5  # the part of an object that the map must give to its word
WAYS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("dense (the default)", "dense", {}),
    ("dense, parts", "dense", {"instances": "parts"}),
    ("clip-then-sam", "clip-then-sam", {}),
    ("clip-then-sam, everything", "clip-then-sam", {"preset": "everything"}),
    ("sam-then-clip, fast", "sam-then-clip", {"preset": "fast"}),
)


def check(options: Namespace) -> str | None:
    """Return what is missing, or None."""
    try:
        instances_file(options)
    except Unmeasurable as error:
        return str(error)
    return None


def run(options: Namespace) -> dict[str, Any]:
    """Segment every photo by every method, one after the other."""
    import lexiseg

    path = instances_file(options)
    weights = {} if options.method == "tiny" else {"encoder": options.method}
    ways = {}
    for label, name, more in WAYS:
        own = dict(weights)
        if weights and name != "dense":
            own["masker"] = options.method
        segmenter = lexiseg.load(name, device=options.device, **own, **more)
        ways[label] = measure(segmenter, path, options.limit, label) | _times(segmenter)
    return {"ways": ways, "threads": _threads()}


def table(result: dict[str, Any]) -> str:
    """Return a line a method."""
    lines = [
        [
            label,
            percent(one["found"] / max(one["objects"], 1)),
            percent(one["found_of_held"] / max(one["held"], 1)),
            f"{one['doubles']}",
            f"{one['masks'] / one['photos']:.1f}",
            percent(one["ap"]),
            percent(one["ap50"]),
            f"{one['count_error']:.2f}",
            f"{1000 * one['cpu_s']:.0f}",
        ]
        for label, one in result["ways"].items()
    ]
    first = next(iter(result["ways"].values()))
    head = ["method", "found", "found of those that the map holds", "doubles", "masks a photo"]
    head += ["AP", "AP50", "counting error", "CPU ms"]
    return (
        f"{markdown(head, lines)}\n\n{first['photos']} photos with {first['objects']} objects of "
        f"at least {MIN_AREA} pixels. Found: a mask of its word has an IoU of at least {SAME} with "
        "it, in percent; each mask counts for one object, and further masks of one are doubles. "
        "The map holds an object where it gives its word half of the object's pixels. AP: COCO's, "
        "masks, all classes and sizes, by score. Counting error: the mean of "
        f"|counted - there| over photos and classes that are there or found. CPU ms: of a photo of "
        f"{SMALL_WH[0]}x{SMALL_WH[1]} and {len(WORDS)} words, on {result['threads']} thread(s): "
        "the processor's time of all threads by their number."
    )


def measure(
    segmenter: Callable[..., Any], path: Path, limit: int | None = None, label: str = ""
) -> dict[str, Any]:
    """Return what a segmenter finds on the photos of a file of COCO's instances."""
    truth, words = truth_of(path)
    names = {key: one["name"] for key, one in truth.cats.items()}
    ids = {name: key for key, name in names.items()}
    photos, results, total = sorted(truth.imgs)[:limit], [], Totals()
    show = progress(label)
    for done, key in enumerate(photos, start=1):
        found = segmenter(path.parent / truth.imgs[key]["file_name"], words)
        objects = [one for one in truth.imgToAnns[key] if not one["iscrowd"]]
        masks = np.array([truth.annToMask(one).astype(bool) for one in objects])
        of_objects = [names[one["category_id"]] for one in objects]
        total.add(found, masks.reshape(-1, *found.size_hw), of_objects)
        for label_, score, rle in zip(
            found.labels, found.scores, found.masks.to_rle(), strict=True
        ):
            results.append(
                {"image_id": key, "category_id": ids[str(label_)], "segmentation": rle,
                 "score": float(score)}
            )  # fmt: skip
        if show is not None:
            show(done, len(photos))
    return {"photos": len(photos), **total.values(), **average_precision(truth, results, photos)}


def truth_of(path: Path) -> tuple[Any, list[str]]:
    """Return the annotations of a file of COCO's instances, as pycocotools reads it, and words."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
    return truth, [one["name"] for one in truth.cats.values()]


class Totals:
    """Sums over photos."""

    def __init__(self) -> None:
        self.objects = self.held = self.found = self.found_of_held = self.doubles = self.masks = 0
        self.errors: list[int] = []

    def add(self, result: Any, truth: NDArray[np.bool_], words: list[str]) -> None:
        """Count a photo: its objects' masks (N, H, W) and their words."""
        from lexiseg.masks import Masks

        self.masks += len(result)
        for word in sorted({*words, *result.labels.tolist()}):
            mine = [i for i, own in enumerate(words) if own == word]
            found = result[word]
            self.errors.append(abs(len(mine) - len(found)))
            large = np.array([i for i in mine if truth[i].sum() >= MIN_AREA], np.intp)
            if not len(large):
                continue
            same = found.iou(Masks.from_dense(truth[large]))
            hit = match(same)
            region = result.label_map == result.index(word)
            held = np.array([(region & one).sum() >= HELD * one.sum() for one in truth[large]])
            self.objects += len(large)
            self.held += int(held.sum())
            self.found += int(hit.sum())
            self.found_of_held += int((hit & held).sum())
            self.doubles += int((same >= SAME).any(1).sum() - hit.sum())

    def values(self) -> dict[str, Any]:
        """Return the sums."""
        counts = {key: value for key, value in vars(self).items() if key != "errors"}
        return {**counts, "count_error": round(float(np.mean(self.errors)), 4)}


def match(iou: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which of the objects are found, (M,): the best pairs (N, M) first, each mask once."""
    left, hit = iou.copy(), np.zeros(iou.shape[1], np.bool_)
    while left.size and left.max() >= SAME:
        mask, thing = np.unravel_index(int(left.argmax()), left.shape)
        hit[thing] = True
        left[mask], left[:, thing] = 0, 0
    return hit


def average_precision(
    truth: Any, results: list[dict[str, Any]], photos: list[int]
) -> dict[str, Any]:
    """Return COCO's average precision of masks, of all IoUs and of 0.5, in [0, 1]."""
    from pycocotools.cocoeval import COCOeval

    if not results:
        return {"ap": 0.0, "ap50": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        scored = COCOeval(truth, truth.loadRes(results), "segm")
        scored.params.imgIds = photos
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    return {"ap": round(float(scored.stats[0]), 4), "ap50": round(float(scored.stats[1]), 4)}


def instances_file(options: Namespace) -> Path:
    """Return the file of instances of the first data set that has one."""
    for root in options.data:
        for folder in (root, root / "coco"):
            path = folder / options.split / "instances.json"
            if path.is_file():
                return path
    raise Unmeasurable(f"no data set in --data has {options.split}/instances.json")


def _times(segmenter: Callable[..., Any], runs: int = 7) -> dict[str, float]:
    """Median seconds of a photo, warm: by the clock, and of the processor for each thread."""
    from PIL import Image

    photo = Image.open(PHOTO).convert("RGB").resize(SMALL_WH, Image.Resampling.LANCZOS)
    rgb = np.asarray(photo)
    wall, busy = [], []
    for turn in range(runs + 1):
        started, used = time.perf_counter(), time.process_time()
        segmenter(rgb, list(WORDS))
        if turn:
            wall.append(time.perf_counter() - started)
            busy.append((time.process_time() - used) / _threads())
    return {"wall_s": round(statistics.median(wall), 4), "cpu_s": round(statistics.median(busy), 4)}


def _threads() -> int:
    import torch

    return min(torch.get_num_threads(), os.cpu_count() or 1)
