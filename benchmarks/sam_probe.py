"""Masks of everything in one photo in this process; `rows/everything.py` starts it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import peak_mb


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Run the job: which (ours, official, plain), folder, weights, photo, points a side, quality,
    stability, dtype, and the official code's folder."""
    prepare = {"ours": _ours, "official": _official, "plain": _plain}[job["which"]]
    generate = prepare(job)
    started, work = time.perf_counter(), time.process_time()
    found = generate()
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(time.process_time() - work, 2),
        **found,
        "peak_mb": peak_mb(),
    }


def _ours(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    from lexiseg import imaging
    from lexiseg.device import pick
    from lexiseg.models.sam.masker import masker_of
    from lexiseg.models.sam.weights import read_weights
    from lexiseg.stages.automatic_masks import AutomaticMaskSettings, generate_masks

    compute = pick(job["device"], job["dtype"])
    masker = masker_of(read_weights(Path(job["weights"])), compute, name="drawn")
    rgb = imaging.read(job["photo"]).rgb
    settings = AutomaticMaskSettings(
        points_per_side=job["side"], quality=job["quality"], stability=job["stability"]
    )

    def run() -> dict[str, Any]:
        found = generate_masks(masker, rgb, settings)
        return {"passed": found.candidates, "masks": len(found.masks)}

    return run


def _official(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """The official generator as its documentation calls it, batches of 64."""
    sys.path.insert(0, job["official"])
    if job["stand_in"]:
        _without_torchvision()
    from segment_anything import (  # type: ignore[import-not-found]
        SamAutomaticMaskGenerator,
        sam_model_registry,
    )

    sam = sam_model_registry["vit_b"](checkpoint=job["weights"]).eval()
    if job["device"]:
        sam.to(job["device"])
    generator = SamAutomaticMaskGenerator(
        sam, points_per_side=job["side"], pred_iou_thresh=job["quality"],
        stability_score_thresh=job["stability"],
    )  # fmt: skip
    with Image.open(job["photo"]) as image:
        rgb = np.array(image.convert("RGB"))
    return lambda: {"masks": len(generator.generate(rgb))}


def _plain(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """The same in the plainest way, on transformers' model: 64 points, all masks enlarged."""
    from benchmarks.plain_sam import generate, load

    model = load(job["folder"], job["device"])
    with Image.open(job["photo"]) as image:
        rgb = np.array(image.convert("RGB"))
    return lambda: {"masks": generate(model, rgb, job["side"], job["quality"], job["stability"])}


def _without_torchvision() -> None:
    """Stand-ins for the four functions of torchvision that the official generator calls."""
    from types import ModuleType

    import torch

    from benchmarks.plain_sam import greedy

    made = {
        name: ModuleType(name)
        for name in (
            "torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms",
            "torchvision.transforms.functional",
        )
    }  # fmt: skip
    boxes: Any = made["torchvision.ops.boxes"]
    boxes.box_area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    boxes.batched_nms = lambda b, s, _, iou_threshold: torch.tensor(
        greedy(b, s, iou_threshold), dtype=torch.long
    )
    change: Any = made["torchvision.transforms.functional"]
    change.to_pil_image = Image.fromarray
    change.resize = lambda image, hw: image.resize(hw[::-1], Image.Resampling.BILINEAR)
    sys.modules.update(made)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
