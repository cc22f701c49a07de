"""The guided filter's settings, and OpenCV's in its place, over the maps of two methods.

A photo is encoded and its map of words computed once; only the last step, from the map's cells to
the image's pixels, is done again for each line. Its time is CPU time, for all words of the set.
"""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks.rows.common import markdown, open_data, percent, progress
from lexiseg.stages.label_map import GuidedFilter, label_map

ABOUT = "outlines: the guided filter's radius and epsilon, and OpenCV's filter in its place"
NEEDS = ("data",)
LIMIT = 72  # photos a set, where --limit says nothing else


class Line(NamedTuple):
    """What is measured: whose filter, its radius in cells of the map, and its epsilon."""

    label: str
    whose: str
    radius: int
    epsilon: float


LINES = (
    Line("bilinear, no filter", "ours", 0, 1e-3),
    Line("radius 1, epsilon 0.001", "ours", 1, 1e-3),
    Line("radius 2, epsilon 0.0001", "ours", 2, 1e-4),
    Line("radius 3, epsilon 0.001", "ours", 3, 1e-3),
    Line("radius 3, epsilon 0.0001", "ours", 3, 1e-4),
    Line("radius 4, epsilon 0.0001", "ours", 4, 1e-4),
    Line("OpenCV, radius 3, epsilon 0.0001", "opencv", 3, 1e-4),
)
METHODS = ("dense", "clip-then-sam")


@dataclass(frozen=True, eq=False)
class _Map:
    """Probabilities (C, h, w), the class of each, and how they lie on the image."""

    probabilities: Any
    class_ids: Any
    guide: GuidedFilter


def run(options: Namespace) -> dict[str, Any]:
    """Measure all lines on every set."""
    import lexiseg

    segmenter = lexiseg.load("clip-then-sam", device=options.device)
    sets = []
    for data in open_data(options):
        part = data.first(LIMIT)
        sets.append({"name": part.name, "photos": len(part), "methods": _measure(segmenter, part)})
    return {"sets": sets}


def _measure(segmenter: Any, data: Any) -> dict[str, dict[str, dict[str, float]]]:
    """Method -> line -> mean IoU, boundary F1 and CPU seconds a photo."""
    from lexiseg import imaging
    from lexiseg.metrics import BoundaryScore, ConfusionMatrix

    words, opened = list(data.classes), data.background_index is not None
    if opened:
        words[data.background_index] = "background"
    count, keys = len(words), [(method, line) for method in METHODS for line in LINES]
    areas = {
        key: ConfusionMatrix(count, ignore_index=data.ignore_index, num_predicted=count + 1)
        for key in keys
    }
    outlines = {key: BoundaryScore(count, ignore_index=data.ignore_index) for key in keys}
    seconds = dict.fromkeys(keys, 0.0)
    show = progress(f"guided-filter: {data.name}")
    for done, sample in enumerate(data, start=1):
        rgb = imaging.read(sample.path).rgb
        truth = sample.labels(rgb.shape[:2])
        maps = _maps(segmenter, rgb, words, opened)
        for key in keys:
            started = time.process_time()
            labels = _labels(maps[key[0]], key[1])
            seconds[key] += time.process_time() - started
            pred = np.where((labels < 0) | (labels >= count), count, labels).astype(np.intp)
            areas[key].add(pred, truth)
            outlines[key].add(pred, truth)
        if show:
            show(done, len(data))
    aside = [data.background_index] if opened else []
    out: dict[str, dict[str, dict[str, float]]] = {method: {} for method in METHODS}
    for method, line in keys:
        key = (method, line)
        chosen = areas[key].select_classes(min_photos=1, exclude=aside)
        out[method][line.label] = {
            "mean_iou": round(float(np.nanmean(areas[key].iou()[chosen])), 4),
            "boundary_f1": round(float(np.nanmean(outlines[key].f1()[chosen])), 4),
            "seconds": round(seconds[key] / len(data), 4),
        }
    return out


def _maps(segmenter: Any, rgb: Any, words: list[str], opened: bool) -> dict[str, _Map]:
    """The map of words that each method labels pixels by: the encoder's, and that with masks."""
    from lexiseg.methods.clip_then_sam import steps
    from lexiseg.prompts import Clicks, Vocabulary

    vocabulary = Vocabulary.parse(words, background="default" if opened else None)
    view, config = segmenter.prepare(rgb), segmenter.config
    scores = segmenter.mapper.score_map(view.encoded.mapped, vocabulary)
    guide = GuidedFilter(rgb, scores.input_hw, scores.cell, 0, 1.0)
    dense = _Map(scores.probabilities, np.arange(vocabulary.num_classes), guide)
    word_map = steps.map_words(scores, vocabulary)
    regions = steps.find_regions(word_map, config)
    prompts = steps.plan_prompts(regions, word_map, Clicks(), config)
    batches = steps.decode_candidates(segmenter.masker, view.encoded.masks, prompts)
    selection = steps.select_masks(batches, None, segmenter.masker, regions, word_map, config)
    if selection is None:
        return {"dense": dense, "clip-then-sam": dense}
    guide = steps.outline_filter(selection, word_map, rgb, config)
    with patch.object(steps, "label_fused") as last:
        steps.fuse_with_map(selection, regions, word_map, guide, Clicks(), config)
    fused, competing, *_ = last.call_args.args
    height, width = (-(-length // guide.cell) for length in guide.work_hw)
    masked = _Map(
        fused[:, :height, :width], competing.class_ids, replace(guide, radius=1, epsilon=1.0)
    )
    return {"dense": dense, "clip-then-sam": masked}


def _labels(made: _Map, line: Line) -> Any:
    """The label map, (H, W), -1 for no word."""
    guide = replace(made.guide, radius=line.radius, epsilon=line.epsilon)
    way = label_map if line.whose == "ours" else _by_opencv
    winners = way(made.probabilities, guide)
    return made.class_ids[winners if line.whose == "opencv" else winners.labels]


def _by_opencv(probabilities: Any, guide: GuidedFilter) -> Any:
    """The same with OpenCV's fast guided filter at the image's size, (H, W)."""
    import cv2

    height, width = guide.size_hw
    given = probabilities.numpy()
    ys, xs = (
        ((np.arange(pixels) + 0.5) / pixels * work / guide.cell - 0.5).astype(np.float32)
        for pixels, work in zip((height, width), guide.work_hw, strict=True)
    )
    map_x, map_y = np.tile(xs, (height, 1)), np.repeat(ys[:, None], width, 1)
    classes = np.unique(given.argmax(0))
    scale = min(1.0, guide.work_hw[0] / guide.cell / height)  # of the image to cells
    made = cv2.ximgproc.createGuidedFilter(  # its radius counts pixels of the scaled image
        guide.rgb, guide.radius, guide.epsilon * 255**2, scale
    )
    best, label = np.full((height, width), -np.inf, np.float32), np.zeros((height, width), np.int64)
    for row in classes.tolist():
        plane = np.ascontiguousarray(given[row], np.float32)
        full = cv2.remap(plane, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        values = made.filter(full)
        label[values > best] = row
        np.maximum(best, values, out=best)
    return label


def table(result: dict[str, Any]) -> str:
    """Return for each method a line a setting: boundary F1 and mean IoU by set, and CPU time."""
    names = [one["name"] for one in result["sets"]]
    parts = []
    for method in METHODS:
        rows = []
        for line in LINES:
            found = [one["methods"][method][line.label] for one in result["sets"]]
            rows.append([
                line.label,
                *(f"{percent(one['boundary_f1'])} / {percent(one['mean_iou'])}" for one in found),
                percent(float(np.mean([one["boundary_f1"] for one in found]))),
                percent(float(np.mean([one["mean_iou"] for one in found]))),
                f"{1000 * float(np.mean([one['seconds'] for one in found])):.0f}",
            ])  # fmt: skip
        head = [f"`{method}`", *names, "boundary F1", "mean IoU", "CPU ms a photo"]
        parts.append(markdown(head, rows))
    photos = ", ".join(f"{one['name']} {one['photos']}" for one in result["sets"])
    return "\n\n".join(
        [*parts, f"By set boundary F1 / mean IoU, then means over the sets. Photos: {photos}."]
    )
