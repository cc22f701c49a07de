"""One example picture, episodes drawn by both protocols: HSNet's and PFENet's, and its word.

Sets with class masks, all whose classes make one fold; each line is a command that a user types.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.machine import output
from benchmarks.rows.common import markdown, percent

ABOUT = "one example picture: mean IoU over classes on episodes as HSNet and as PFENet draw them"
NEEDS = ("data:msrc", "data:voc")
SETS, EPISODES = ("msrc", "voc"), 100
WAYS = {"an example": ("--shots", "1"), "the word": ("--shots", "0")}


def run(options: Namespace) -> dict[str, Any]:
    """Run the commands, and go on with those that were ended in the folder of `--work`."""
    lines = []
    with tempfile.TemporaryDirectory() as made:
        work = Path(made) if options.work is None else options.work
        for name in SETS:
            root = next(p for r in options.data for p in (r, r / name) if p.name == name)
            for protocol in ("hsnet", "pfenet"):
                for way, flags in WAYS.items():
                    folder = work / f"{name}-{protocol}-{way.replace(' ', '-')}"
                    lines.append(_one(options, root, protocol, flags, folder) | {"way": way})
    return {"episodes": options.limit or EPISODES, "lines": lines}


def _one(
    options: Namespace, root: Path, protocol: str, flags: tuple[str, ...], folder: Path
) -> dict[str, Any]:
    if not (folder / "results.json").is_file():
        command = ["evaluate", "clipseg", "--data", str(root.resolve()), "--split", options.split]
        command += ["--episodes", protocol, *flags, "--limit", str(options.limit or EPISODES)]
        command += ["--out", str(folder.resolve()), "--resume"]
        command += ["--device", options.device] if options.device else []
        command += [] if options.method == "tiny" else ["--encoder", options.method]
        print(f"lexiseg {shlex.join(command)}", flush=True)
        output([sys.executable, "-m", "lexiseg", *command])
    found = json.loads((folder / "results.json").read_text("utf-8"))
    return {
        "set": found["set"], "protocol": protocol, "classes": found["mean"]["classes"],
        "without_episode": len(found["without_episode"]), "mean_iou": found["mean"]["mean_iou"],
        "fb_iou": found["mean"]["fb_iou"],
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """Return a line a set, protocol and way of asking."""
    lines = [
        [one["set"], one["protocol"], one["way"], one["classes"] - one["without_episode"],
         percent(one["mean_iou"] * one["classes"] / (one["classes"] - one["without_episode"])),
         percent(one["fb_iou"])]
        for one in result["lines"]
    ]  # fmt: skip
    head = ["set", "episodes of", "asked by", "classes", "mean IoU", "FB-IoU"]
    return (
        f"{markdown(head, lines)}\n\nIn percent; `clipseg` with the bundled decoder. The first "
        f"{result['episodes']} episodes; all classes of a set make one fold, those without an "
        "episode aside. FB-IoU: mean of foreground's and background's IoU, of all pixels."
    )
