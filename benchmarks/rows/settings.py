"""The settings of the method, chosen on photos that are neither trained nor reported on.

The recipe keeps one training photo of sixteen out of training (`is_held_out`). Each line changes
one setting and leaves the others as the package has them; they were chosen here.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from benchmarks.rows.common import markdown, percent, progress

ABOUT = "settings, one changed at a time, on training photos that were kept out of training"
NEEDS = ("data",)
LIMIT = 12  # photos a set, where --limit says nothing else

CANDIDATES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("the defaults: short_side 288, refine_radius 2, refine_epsilon 0.0001", {}),
    ("short_side 256", {"short_side": 256}),
    ("short_side 320", {"short_side": 320}),
    ("short_side 352", {"short_side": 352}),
    ("short_side 384", {"short_side": 384}),
    ("refine none", {"refine": "none"}),
    ("refine_radius 1", {"refine_radius": 1}),
    ("refine_radius 3", {"refine_radius": 3}),
    ("refine_epsilon 0.0003", {"refine_epsilon": 3e-4}),
    ("refine_epsilon 0.001", {"refine_epsilon": 1e-3}),
    ("templates photo", {"templates": "photo"}),
    ("presence 0", {"presence": 0.0}),
    ("scales 1, 1.5", {"scales": (1.0, 1.5)}),
    ("scales 0.75, 1, 1.5 (preset quality)", {"scales": (0.75, 1.0, 1.5)}),
)


def run(options: Namespace) -> dict[str, Any]:
    """Evaluate every candidate on the first photos of each set's kept-out part."""
    import lexiseg
    from lexiseg.datasets import find_sets
    from lexiseg.evaluation import evaluate
    from lexiseg.training.tiny.photos import is_held_out

    parts = []
    for data in find_sets(options.data, "train"):
        kept = [s.id for s in data if is_held_out(data.name, s.id)][: options.limit or LIMIT]
        parts.append(data.subset(kept))
    lines = []
    for label, overrides in CANDIDATES:
        segmenter = lexiseg.load(options.method, device=options.device, **overrides)
        scores = {}
        for part in parts:
            found = evaluate(segmenter, part, progress=progress(f"{label}, {part.name}"))
            scores[part.name] = {
                "mean_iou": _round(found.score.mean_iou.value),
                "pixel_accuracy": _round(found.score.pixel_accuracy.value),
                "boundary_f1": _round(found.score.boundary_f1),
                "seconds": round(found.seconds, 4),
            }
        lines.append({"settings": label, "overrides": overrides, "sets": scores})
    return {"photos": {part.name: len(part) for part in parts}, "candidates": lines}


def table(result: dict[str, Any]) -> str:
    """Return a line a candidate: mean IoU by set, and means over the sets."""
    names = list(result["photos"])
    head = ["settings", *names, "mean IoU", "boundary F1", "ms a picture"]
    rows = [
        [
            line["settings"],
            *(percent(line["sets"][name]["mean_iou"]) for name in names),
            percent(_mean(line, "mean_iou")),
            percent(_mean(line, "boundary_f1")),
            f"{1000 * _mean(line, 'seconds'):.0f}",
        ]
        for line in result["candidates"]
    ]
    photos = ", ".join(f"{name} {count}" for name, count in result["photos"].items())
    return f"{markdown(head, rows)}\n\nPhotos: {photos}. The means are over the sets."


def _mean(line: dict[str, Any], key: str) -> float:
    values = [one[key] for one in line["sets"].values() if one[key] is not None]
    return float(np.mean(values))


def _round(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
