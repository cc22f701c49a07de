"""Several data sets measured with one method: what stands above their own results."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lexiseg.evaluation.result import Evaluation

__all__ = ["overview", "overview_json"]

_ESTIMATES = ("mean_iou", "pixel_accuracy", "mean_accuracy")


def overview(found: Sequence[Evaluation]) -> str:
    """Return a table of the sets, and the plain mean over them."""
    head = f"{'set':<24} {'photos':>6} {'classes':>7}  {'mean IoU, %':<24} {'all':>6} {'pixels':>7}"
    lines = [head + f" {'ms':>7}"]
    for one in found:
        score = one.score
        lines.append(
            f"{one.name + '/' + one.split:<24} {score.photos:>6} {score.mean_classes:>7}  "
            f"{score.mean_iou!s:<24} {_percent(score.mean_iou_all):>6} "
            f"{_percent(score.pixel_accuracy.value):>7} {1000 * one.seconds:>7.0f}"
        )
    means = _means(found)
    lines.append(
        f"{'mean of the sets':<24} {'':>6} {'':>7}  {_percent(means['mean_iou']):<24} "
        f"{_percent(means['mean_iou_all']):>6} {_percent(means['pixel_accuracy']):>7}"
    )
    least = found[0].score.min_photos
    lines += [
        "",
        f"mean IoU: over the classes in at least {least} photos, background aside, with a 95 % "
        'interval over photos; "all": over every class there or predicted; pixels: pixel accuracy.',
    ]
    if any(math.isnan(one.score.mean_iou.value) for one in found):
        lines.append(f'"-": no class is in {least} photos of the set.')
    return "\n".join(lines) + "\n"


def overview_json(found: Sequence[Evaluation]) -> dict[str, Any]:
    """Return the sets' own numbers, and the plain mean over them."""
    rounded = {key: None if math.isnan(v) else round(v, 6) for key, v in _means(found).items()}
    sets = []
    for one in found:
        plain = json.loads(json.dumps(one.to_json()))
        for key in ("classes", "asked"):
            del plain[key]
        sets.append(plain)
    return {"mean": rounded, "sets": sets}


def _means(found: Sequence[Evaluation]) -> dict[str, float]:
    """The mean of each number over the sets that have it."""
    values = {key: [getattr(one.score, key).value for one in found] for key in _ESTIMATES}
    values["mean_iou_all"] = [one.score.mean_iou_all for one in found]
    known = {key: [v for v in several if math.isfinite(v)] for key, several in values.items()}
    return {key: float(np.mean(v)) if v else math.nan for key, v in known.items()}


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
