"""The prompt decoder against the dense head on the same encoder: words, whole pictures, all sets.

``--method`` names the decoder: the bundled one, or the folder that `lexiseg train clipseg` wrote.
Both methods see the same photos, so that intervals of the difference draw the same ones.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from benchmarks.rows.common import markdown, open_data, percent, progress

ABOUT = "the prompt decoder (clipseg) against the dense head on the same encoder, by words"
NEEDS = ("data",)


def run(options: Namespace) -> dict[str, Any]:
    """Evaluate both on every set."""
    import lexiseg
    from lexiseg.evaluation import evaluate
    from lexiseg.metrics.confusion import draw_weights, interval, resample_iou

    methods = {
        "dense": lexiseg.load("tiny", device=options.device),
        "decoder": lexiseg.load("clipseg", encoder=options.method, device=options.device),
    }
    sets = []
    for data in open_data(options):
        found = {
            name: evaluate(seg, data, progress=progress(f"{name}, {data.name}"))
            for name, seg in methods.items()
        }
        aside = [] if data.background_index is None else [data.background_index]
        chosen = found["dense"].matrix.select_classes(
            min_photos=5 if len(data) >= 50 else 1, exclude=aside
        )
        weights = draw_weights(len(data))
        drawn = {
            name: np.nanmean(resample_iou(one.matrix, weights)[:, chosen], 1)
            for name, one in found.items()
        }
        values = {n: float(np.nanmean(one.matrix.iou()[chosen])) for n, one in found.items()}
        low, high = interval(drawn["decoder"] - drawn["dense"]).tolist()
        sets.append(
            {
                "set": data.name,
                "photos": len(data),
                "classes": len(chosen),
                **{name: round(value, 4) for name, value in values.items()},
                "gain": {
                    "value": round(values["decoder"] - values["dense"], 4),
                    "low": round(low, 4),
                    "high": round(high, 4),
                },
                "ms": {name: round(1000 * one.seconds) for name, one in found.items()},
            }
        )
    return {"sets": sets}


def table(result: dict[str, Any]) -> str:
    """Return a line a set."""
    lines = [
        [
            one["set"],
            one["photos"],
            one["classes"],
            percent(one["dense"]),
            percent(one["decoder"]),
            f"{percent(one['gain']['value'])} "
            f"({percent(one['gain']['low'])} to {percent(one['gain']['high'])})",
            f"{one['ms']['dense']}, {one['ms']['decoder']}",
        ]
        for one in result["sets"]
    ]
    head = ["set", "photos", "classes", "dense head", "decoder", "gain", "ms a picture"]
    return (
        f"{markdown(head, lines)}\n\nMean IoU in percent, over classes in enough photos, "
        "background aside; 95 % intervals of the gain over photos. Sets without a background are "
        "closed: every pixel gets a word."
    )
