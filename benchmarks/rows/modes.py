"""Every mode of `lexiseg evaluate` on every set: accuracy, outlines, time and memory.

Each mode of a set is the command that a user types, in a process of its own, so that its memory is
its own. Of each set the first photos count in an order shuffled by a seed: the same for all modes.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import output
from benchmarks.rows.common import estimate, markdown, percent
from lexiseg.datasets import SemanticDataset, find_sets

ABOUT = "every mode on every set: accuracy, outlines, time and memory of `lexiseg evaluate`"
NEEDS = ("data",)
PHOTOS, SEED = 24, 0  # of each set
FEW = {"sam-then-clip --preset fast": 10}  # photos of a mode that takes seconds for each
MODES: Mapping[str, tuple[str, ...]] = {
    "dense": ("dense",),
    "dense --use-pamr": ("dense", "--use-pamr"),
    "dense --use-sam": ("dense", "--use-sam"),
    "sam-then-clip --preset fast": ("sam-then-clip", "--preset", "fast"),
}
_KEPT = (
    "set", "photos", "mean_classes", "min_photos", "mean_iou", "mean_iou_all", "pixel_accuracy",
    "mean_accuracy", "boundary_f1",
)  # fmt: skip


def run(options: Namespace) -> dict[str, Any]:
    """Run the commands, and go on with those that were ended in the folder of `--work`."""
    limit = options.limit or PHOTOS
    modes = {}
    with tempfile.TemporaryDirectory() as made:
        work = Path(made) if options.work is None else options.work
        for mode, words in MODES.items():
            folder = work / "-".join(word.strip("-") for word in words)
            modes[mode] = [
                _measure(
                    words, folder / data.name, place, options, min(limit, FEW.get(mode, limit))
                )
                for data, place in _sets(options)
            ]
    return {"limit": limit, "seed": SEED, "modes": modes}


def _sets(options: Namespace) -> list[tuple[SemanticDataset, Path]]:
    """The sets in the --data folders that have masks, and where they lie."""
    found = []
    for root in options.data:
        for data in find_sets([root], options.split, splits=options.splits):
            found.append((data, root if root.resolve().name == data.name else root / data.name))
    return found


def _measure(
    words: tuple[str, ...], folder: Path, place: Path, options: Namespace, limit: int
) -> dict[str, Any]:
    """Run one mode's command on one set; return what its results say."""
    if not (folder / "results.json").is_file():
        command = ["evaluate", *words, "--limit", str(limit), "--shuffle-seed", str(SEED)]
        command += ["--data", str(place.resolve()), "--split", options.split]
        command += ["--out", str(folder.resolve()), "--resume"]
        command += ["--device", options.device] if options.device else []
        command += [] if options.method == "tiny" else ["--encoder", options.method]
        print(f"lexiseg {shlex.join(command)}", flush=True)
        output([sys.executable, "-m", "lexiseg", *command])
    found = json.loads((folder / "results.json").read_text("utf-8"))
    held = [stage.get("peak_memory_bytes", 0) for stage in found["stages"].values()]
    return {key: found[key] for key in _KEPT} | {
        "cpu_seconds": found["stages"]["segment"]["cpu_seconds"],
        "peak_mb": round(max(held) / 1e6),
    }


def table(result: dict[str, Any]) -> str:
    """Return a table of all modes on each set."""
    head = [
        "set", "mode", "photos", "mean IoU", "over classes", "all classes", "pixel accuracy",
        "mean accuracy", "boundary F1", "CPU ms a picture", "peak memory",
    ]  # fmt: skip
    lines = []
    for place, first in enumerate(next(iter(result["modes"].values()))):
        for mode, sets in result["modes"].items():
            one = sets[place]
            lines.append([
                first["set"], f"`{mode}`", one["photos"], estimate(one["mean_iou"]),
                one["mean_classes"], percent(one["mean_iou_all"]), estimate(one["pixel_accuracy"]),
                estimate(one["mean_accuracy"]), percent(one["boundary_f1"]),
                f"{1000 * one['cpu_seconds']:.0f}", f"{one['peak_mb']} MB",
            ])  # fmt: skip
    least = next(iter(result["modes"].values()))[0]["min_photos"]
    return (
        f"{markdown(head, lines)}\n\nIn percent, with 95 % intervals over photos. Mean IoU and "
        f"mean accuracy: over the classes in at least {least} photos, background aside; all "
        f"classes: mean IoU over those there or predicted. Of each set the first "
        f"{result['limit']} photos in the order of `--shuffle-seed {result['seed']}`, or all of "
        "fewer; fewer of the mode that takes seconds for each. CPU ms: of all threads, median. "
        "Peak memory: of the whole process.\n\n"
        "![Photos by the four modes, from left to right in the order of the table]"
        "(images/modes.jpg)"
    )


def short(result: dict[str, Any]) -> str:
    """Return mean IoU by set, a line a mode, of those on the same photos."""
    modes = {name: found for name, found in result["modes"].items() if name not in FEW}
    sets = [one["set"] for one in next(iter(modes.values()))]
    lines = [
        [f"`{mode}`", *(percent(one["mean_iou"]["value"]) for one in found)]
        for mode, found in modes.items()
    ]
    return markdown(["mean IoU, %", *sets], lines)
