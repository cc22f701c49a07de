"""clip-then-sam against the dense map alone, and against asking everywhere.

Accuracy: mean IoU per word and boundary F1 on the same photos, with paired intervals: both methods
are drawn the same photos. Speed: guided points, as they are by default and with the preset
"everything", against a blind grid of the same mask model, and which annotated objects each finds
(IoU of its best mask at least 0.5).
"""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from typing import Any

import numpy as np

from benchmarks.rows.common import markdown, open_data, percent, progress

ABOUT = "clip-then-sam: masks and outlines against the dense map alone; time against a blind grid"
NEEDS = ("data",)
SIDE = 64  # points of the blind grid
LEAST = 32 * 32  # pixels of an object that counts
TIMED = 24  # photos on which the grid, which is slow, runs


def run(options: Namespace) -> dict[str, Any]:
    """Measure on the first data set."""
    import lexiseg

    data = open_data(options)[0]
    guided = lexiseg.load("clip-then-sam", device=options.device)
    return {
        "set": data.name,
        "photos": len(data),
        "accuracy": _accuracy(guided, data),
        "grid": _against_grid(guided, data.first(TIMED), options),
    }


def _accuracy(guided: Any, data: Any) -> dict[str, Any]:
    """Both methods' label maps on every photo, by the set's own words."""
    from lexiseg import imaging
    from lexiseg.metrics import ConfusionMatrix
    from lexiseg.metrics.boundary import boundary_counts

    words = list(data.classes)
    if data.background_index is not None:
        words[data.background_index] = "background"
    ground = None if data.background_index is None else "default"
    kinds = ("dense", "guided")
    matrices = {
        kind: ConfusionMatrix(
            len(words), ignore_index=data.ignore_index, num_predicted=len(words) + 1
        )
        for kind in kinds
    }
    outlines: dict[str, list[Any]] = {kind: [] for kind in kinds}
    show = progress("guided")
    for done, sample in enumerate(data, start=1):
        rgb = imaging.read(sample.path).rgb
        truth = sample.labels(rgb.shape[:2])
        view = guided.prepare(rgb)
        found = {
            "dense": guided.mapper(view.encoded.mapped, words, background=ground),
            "guided": guided(view, words, background=ground),
        }
        for kind, seg in found.items():
            pred = np.where(seg.label_map < 0, len(words), seg.label_map).astype(np.intp)
            matrices[kind].add(pred, truth)
            outlines[kind].append(boundary_counts(pred, truth, len(words), data.ignore_index))
        if show:
            show(done, len(data))
    aside = [] if data.background_index is None else [data.background_index]
    chosen = matrices["dense"].select_classes(min_photos=1, exclude=aside)
    return _paired(matrices, {k: np.stack(v) for k, v in outlines.items()}, chosen)


def _paired(matrices: Any, outlines: dict[str, Any], chosen: Any) -> dict[str, Any]:
    """Values of both, and their differences with intervals over the same draws of photos."""
    from lexiseg.metrics.confusion import draw_weights, interval, resample_iou

    weights = draw_weights(len(matrices["dense"]))
    out: dict[str, Any] = {"words": len(chosen)}
    values = {kind: np.nanmean(m.iou()[chosen]) for kind, m in matrices.items()}
    draws = {k: np.nanmean(resample_iou(m, weights)[:, chosen], 1) for k, m in matrices.items()}
    out["mean_iou"] = _difference(values, draws, interval)
    values = {kind: _f1(one.sum(0))[chosen] for kind, one in outlines.items()}
    draws = {
        kind: np.nanmean(_f1(np.tensordot(weights.astype(float), one, 1))[:, chosen], 1)
        for kind, one in outlines.items()
    }
    out["boundary_f1"] = _difference({k: np.nanmean(v) for k, v in values.items()}, draws, interval)
    return out


def _f1(counts: Any) -> Any:
    hit_pred, all_pred, hit_true, all_true = np.moveaxis(np.asarray(counts, float), -1, 0)
    precision, recall = hit_pred / np.maximum(all_pred, 1), hit_true / np.maximum(all_true, 1)
    score = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return np.where(all_true > 0, score, np.nan)


def _difference(values: Any, draws: Any, interval: Any) -> dict[str, float]:
    low, high = interval(draws["guided"] - draws["dense"])
    return {
        "dense": round(float(values["dense"]), 4),
        "guided": round(float(values["guided"]), 4),
        "difference": round(float(values["guided"] - values["dense"]), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def _against_grid(guided: Any, data: Any, options: Namespace) -> dict[str, Any]:
    """Wall time of masks and objects found, guided and by a blind grid on the same mask model."""
    import lexiseg
    from lexiseg import imaging
    from lexiseg.masks import Masks
    from lexiseg.methods.clip_then_sam import PRESETS
    from lexiseg.stages.automatic_masks import AutomaticMaskSettings, generate_masks

    words = [w for i, w in enumerate(data.classes) if i != data.background_index]
    masker = guided.masker
    settings = AutomaticMaskSettings(SIDE, masker.min_quality, masker.min_stability)
    nested = lexiseg.load("clip-then-sam", device=options.device, **PRESETS["everything"])
    ways = {"guided": guided, "everything": nested}
    seconds: dict[str, list[float]] = {way: [] for way in (*ways, "grid")}
    prompts: dict[str, list[int]] = {way: [] for way in ways}
    masks: dict[str, list[int]] = {way: [] for way in (*ways, "grid")}
    hits: list[tuple[bool, dict[str, bool]]] = []  # whether an object counts, and who found it
    show = progress("guided: grid")
    for done, sample in enumerate(data, start=1):
        rgb = imaging.read(sample.path).rgb
        found = {}
        for way, seg in ways.items():
            started = time.perf_counter()
            view = seg.prepare(rgb)
            found[way] = seg(view, words)
            seconds[way].append(time.perf_counter() - started)
            prompts[way].append(found[way].provenance.prompts.num_prompts)
        started = time.perf_counter()
        blind = generate_masks(masker, rgb, settings).masks
        seconds["grid"].append(time.perf_counter() - started)
        for way, some in (*((w, one.masks) for w, one in found.items()), ("grid", blind)):
            masks[way].append(len(some))
        rough = guided.mapper(view.encoded.mapped, words)
        for word, mask in objects(sample, data.classes, rgb.shape[:2]):
            thing = Masks.from_dense(mask[None])
            mine = rough.semantic() == rough.index(word)
            counts = mask.sum() >= LEAST and (mine & mask).sum() >= mask.sum() / 2
            drawn = {way: one[word] for way, one in found.items()} | {"grid": blind}
            hit = {way: bool((one.iou(thing) >= 0.5).any()) for way, one in drawn.items()}
            hits.append((bool(counts), hit))
        if show:
            show(done, len(data))
    return {
        "photos": len(data),
        "side": SIDE,
        "prompts": {way: statistics.median(counts) for way, counts in prompts.items()},
        "masks": {way: statistics.median(counts) for way, counts in masks.items()},
        "seconds": {way: round(statistics.median(times), 4) for way, times in seconds.items()},
        "held": _recall([hit for counts, hit in hits if counts]),
        "all": _recall([hit for _, hit in hits]),
    }


def objects(sample: Any, classes: Any, size_hw: tuple[int, int]) -> list[tuple[str, Any]]:
    """Return the annotated objects of a photo, (word, (H, W) bool)."""
    from lexiseg.datasets.annotations import fill_polygons
    from lexiseg.masks import Masks

    out = []
    for index, shape in sample.truth.shapes:
        if isinstance(shape, dict):
            mask = Masks.from_rle([shape]).mask(0)
        else:
            mask = fill_polygons(shape, size_hw)
        if mask.any():
            out.append((classes[index], mask))
    return out


def _recall(hits: list[dict[str, bool]]) -> dict[str, float | int]:
    count = max(1, len(hits))
    ways = hits[0] if hits else {}
    return {"objects": len(hits)} | {
        way: round(sum(hit[way] for hit in hits) / count, 4) for way in ways
    }


def table(result: dict[str, Any]) -> str:
    """Return a table of accuracy, and one of time and objects."""
    lines = []
    for key, name in (("mean_iou", "mean IoU per word"), ("boundary_f1", "boundary F1")):
        one = result["accuracy"][key]
        gain = f"{percent(one['difference'])} ({percent(one['low'])} to {percent(one['high'])})"
        lines.append([name, percent(one["dense"]), percent(one["guided"]), gain])
    grid = result["grid"]
    ways = {
        "guided": "clip-then-sam",
        "everything": "with `--preset everything`",
        "grid": f"blind {grid['side']}x{grid['side']} grid",
    }
    slow = grid["seconds"]["grid"]
    asked = {**grid["prompts"], "grid": grid["side"] ** 2}
    rows = {
        "prompts": [f"{asked[way]:.0f}" for way in ways],
        "masks": [f"{grid['masks'][way]:.0f}" for way in ways],
        "seconds a picture": [f"{grid['seconds'][way]:.2f}" for way in ways],
        "times as fast": [f"{slow / grid['seconds'][way]:.1f}" for way in ways],
    }
    for key, name in (("held", "objects that the map holds half of"), ("all", "objects in all")):
        one = grid[key]
        rows[f"{one['objects']} {name}: found"] = [f"{percent(one[way])} %" for way in ways]
    head = [result["set"], "dense", "clip-then-sam", "difference, paired, 95 %"]
    return "\n\n".join(
        [
            markdown(head, lines),
            f"In percent, {result['photos']} photos, {result['accuracy']['words']} words.",
            markdown(
                [f"{grid['photos']} photos", *ways.values()], [[k, *v] for k, v in rows.items()]
            ),
            f"Medians a picture. Objects of at least {LEAST} pixels count as held; found: a mask "
            "(of its word, but for the grid) with an IoU of at least 0.5.",
        ]
    )
