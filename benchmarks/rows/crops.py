"""Scoring masks by their crops: many at a time against one by one."""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from typing import Any

import numpy as np

from benchmarks.machine import ROOT
from benchmarks.rows.common import markdown
from lexiseg.protocols import LoadOptions

ABOUT = "scoring 200 masks by their crops: in batches against one by one"
NEEDS = ()
SPEED = True
PHOTO = ROOT / "examples" / "photos" / "street.jpg"
MASKS, SIDE, RUNS = 200, 224, 3
WORDS = ("person", "car", "road", "building", "sky", "tree")


def run(options: Namespace) -> dict[str, Any]:
    """Time both on the same masks; bf16 too, where the processor has it."""
    from lexiseg import imaging
    from lexiseg.device import pick
    from lexiseg.masks import Masks
    from lexiseg.models import load_encoder
    from lexiseg.stages.mask_scores import crop_vectors, default_batch

    rgb = imaging.read(PHOTO).rgb
    masks = Masks.from_dense(_discs(rgb.shape[:2]))
    plain = load_encoder(options.method, LoadOptions(device=options.device, dtype="fp32"))
    batch = default_batch(plain)
    ways = {"fp32, one by one": (plain, 1), f"fp32, batches of {batch}": (plain, batch)}
    best = pick(options.device).dtype_name
    if best != "fp32":
        encoder = load_encoder(options.method, LoadOptions(device=options.device, dtype=best))
        ways[f"{best}, batches of {batch}"] = (encoder, batch)
    words = plain.text(WORDS).float()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    tops: dict[str, Any] = {}
    for turn in range(RUNS + 1):  # in turns: what else the machine does meets all alike
        for name, (encoder, batch) in ways.items():
            started = time.perf_counter()
            vectors = crop_vectors(encoder, rgb, masks, SIDE, batch=batch)
            if turn:  # the first one warms up
                seconds[name].append(time.perf_counter() - started)
            order = (vectors @ words.T).argsort(dim=0, descending=True, stable=True)[:5]
            tops[name] = order.T.tolist()
    first = next(iter(tops.values()))
    lines = {}
    for name, taken in seconds.items():
        same = sum(set(a) == set(b) for a, b in zip(tops[name], first, strict=True))
        lines[name] = {
            "seconds": round(statistics.median(taken), 3), "same_top_5": f"{same}/{len(WORDS)}"
        }  # fmt: skip
    return {"masks": MASKS, "side": SIDE, "ways": lines}


def _discs(size_hw: tuple[int, ...]) -> Any:
    """Discs of many sizes, everywhere."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    out = np.zeros((MASKS, *size_hw[:2]), bool)
    for mask in out:
        centre = rng.random(2) * size_hw[:2]
        mask[:] = np.hypot(y - centre[0], x - centre[1]) < rng.uniform(0.02, 0.3) * min(size_hw[:2])
        mask[int(centre[0]), int(centre[1])] = True
    return out


def table(result: dict[str, Any]) -> str:
    """Return a line a way."""
    slow = next(iter(result["ways"].values()))["seconds"]
    lines = [
        [name, f"{one['seconds']:.2f} s", f"{slow / one['seconds']:.2f}", one["same_top_5"]]
        for name, one in result["ways"].items()
    ]
    head = [f"{result['masks']} crops of {result['side']} pixels", "time", "times as fast"]
    return markdown([*head, "words with the same top 5"], lines)
