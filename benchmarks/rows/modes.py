"""Every mode of `lexiseg evaluate` on every set: accuracy, outlines, time and memory.

Each mode of a set is the command that a user types, in a process of its own, so that its memory is
its own. All photos count; of a mode that takes seconds for each, the first in an order shuffled by
a seed. With ``--work DIR`` a run that was ended goes on, photo by photo.
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
SEED = 0
FEW = {"sam-then-clip": 24}  # photos of each set, for a mode that takes many seconds for each
MODES: Mapping[str, tuple[str, ...]] = {
    "dense": ("dense",),
    "dense --use-pamr": ("dense", "--use-pamr"),
    "dense --use-sam": ("dense", "--use-sam"),
    "sam-then-clip --preset fast": ("sam-then-clip", "--preset", "fast"),
    "sam-then-clip": ("sam-then-clip",),
}
_KEPT = (
    "set", "photos", "mean_classes", "min_photos", "mean_iou", "mean_iou_all", "pixel_accuracy",
    "mean_accuracy", "boundary_f1",
)  # fmt: skip


def run(options: Namespace) -> dict[str, Any]:
    """Run the commands, and go on with those that were ended in the folder of `--work`."""
    modes = {}
    with tempfile.TemporaryDirectory() as made:
        work = Path(made) if options.work is None else options.work
        for mode, words in MODES.items():
            folder = work / "-".join(word.strip("-") for word in words)
            modes[mode] = [
                _measure(words, folder / data.name, place, options, _limit(mode, options))
                for data, place in _sets(options)
            ]
    return {"limit": options.limit, "seed": SEED, "modes": modes}


def _limit(mode: str, options: Namespace) -> int | None:
    """How many photos of each set count; None: all."""
    few = FEW.get(mode)
    return options.limit if few is None else min(few, options.limit or few)


def _sets(options: Namespace) -> list[tuple[SemanticDataset, Path]]:
    """The sets in the --data folders that have masks, and where they lie."""
    found = []
    for root in options.data:
        for data in find_sets([root], options.split, splits=options.splits):
            found.append((data, root if root.resolve().name == data.name else root / data.name))
    return found


def _measure(
    words: tuple[str, ...], folder: Path, place: Path, options: Namespace, limit: int | None
) -> dict[str, Any]:
    """Run one mode's command on one set; return what its results say."""
    if not (folder / "results.json").is_file():
        command = ["evaluate", *words, "--shuffle-seed", str(SEED)]
        command += [] if limit is None else ["--limit", str(limit)]
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
        f"classes: mean IoU over those there or predicted. Photos: all of a set, or the "
        f"first in the order of `--shuffle-seed {result['seed']}`. CPU ms: of all threads, median. "
        f"Peak memory: of the whole process.{_again(result)}\n\n"
        "![Photos by the first four modes, from left to right in the order of the table]"
        "(images/modes.jpg)"
    )


def _again(result: dict[str, Any]) -> str:
    """Which modes were measured again, later than the others, in words."""
    return "".join(
        f" `{mode}` was measured again at commit {one['commit'][:10]}, {one['date']}."
        for mode, one in result.get("again", {}).items()
    )


def short(result: dict[str, Any]) -> str:
    """Return mean IoU by set, a line a mode, of those on the same photos."""
    modes = result["modes"]
    counts = {name: [one["photos"] for one in found] for name, found in modes.items()}
    same = [name for name in modes if counts[name] == max(counts.values())]
    sets = [one["set"] for one in modes[same[0]]]
    lines = [
        [f"`{name}`", *(percent(one["mean_iou"]["value"]) for one in modes[name])] for name in same
    ]
    return markdown(["mean IoU, %", *sets], lines)
