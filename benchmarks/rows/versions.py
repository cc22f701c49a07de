"""This version beside another checkout of lexiseg, in turns, each measure in a fresh process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, Unmeasurable, checkout, output
from benchmarks.rows.common import markdown
from benchmarks.rows.speed import LARGE_WH, PHOTO, SMALL_WH, WORDS

ABOUT = "time and memory of this version beside an earlier checkout, in turns"
NEEDS = ("base",)

# What is measured: the name, and the job of the probe below ("command": the whole command).
_JOBS: dict[str, dict[str, Any]] = {
    "`lexiseg segment`, 640x480": {"command": "segment"},
    "`lexiseg edit remove`, 640x480": {"command": "edit"},
    "dense, 640x480, warm": {"method": "dense", "photo": "small", "runs": 15},
    "dense, 12 megapixels, warm": {"method": "dense", "photo": "large", "runs": 3},
    "clip-then-sam, 640x480, warm": {"method": "clip-then-sam", "photo": "small", "runs": 9},
    "clip-then-sam, 12 megapixels, warm": {"method": "clip-then-sam", "photo": "large", "runs": 3},
    "edit.remove, 640x480, warm": {"method": "clip-then-sam", "photo": "small", "runs": 5,
                                   "remove": "car"},
}  # fmt: skip

# Uses only what both versions have. Prints the seconds of each warm run, and the peak memory.
_PROBE = """
import json, resource, sys, time
job = json.loads(sys.argv[1])
import lexiseg
from lexiseg import imaging
segmenter = lexiseg.load(job["method"])
rgb = imaging.read(job["photo"]).rgb
call = lambda: segmenter(rgb, job["words"])
result = call()
if "remove" in job:
    masks = result[job["remove"]]
    call = lambda: lexiseg.edit.remove(rgb, masks)
    call()
seconds = []
for _ in range(job["runs"]):
    started = time.perf_counter()
    call()
    seconds.append(time.perf_counter() - started)
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def run(options: Namespace) -> dict[str, Any]:
    """Measure both versions in turns; medians over the rounds."""
    if options.base is None:
        raise Unmeasurable("give --base, another checkout of lexiseg or a commit, such as 8e0e1c3")
    with checkout(options.base) as base:
        lines = _measure_both({"before": base / "src", "after": ROOT / "src"}, options.rounds)
        commit = output(["git", "-C", str(base), "rev-parse", "HEAD"])
    return {"base": commit, "threads": os.cpu_count(), "lines": lines}


def _measure_both(sources: dict[str, Path], rounds: int) -> dict[str, Any]:
    """What is measured -> version -> seconds and megabytes."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo = Image.open(PHOTO).convert("RGB")
        for label, size_wh in [("small", SMALL_WH), ("large", LARGE_WH)]:
            photo.resize(size_wh, Image.Resampling.LANCZOS).save(folder / f"{label}.png")
        lines = {}
        for what, job in _JOBS.items():
            found: dict[str, list[tuple[float, float]]] = {"before": [], "after": []}
            for turn in range(rounds):
                order = list(sources) if turn % 2 == 0 else list(sources)[::-1]
                for version in order:
                    found[version].append(_measure(sources[version], job, folder, turn))
            lines[what] = {
                version: {
                    "seconds": round(statistics.median(s for s, _ in values), 4),
                    "peak_mb": round(statistics.median(mb for _, mb in values)),
                }
                for version, values in found.items()
            }
            print(what, lines[what], flush=True)
    return lines


def table(result: dict[str, Any]) -> str:
    """Return a line a measure."""
    lines = []
    for what, both in result["lines"].items():
        before, after = both["before"], both["after"]
        lines.append([
            what, _time(before["seconds"]), _time(after["seconds"]),
            f"{after['seconds'] / before['seconds']:.2f}",
            f"{before['peak_mb']} MB", f"{after['peak_mb']} MB",
        ])  # fmt: skip
    head = ["what", "before", "after", "ratio", "memory before", "after"]
    return f"{markdown(head, lines)}\n\nBefore: commit {result['base'][:7]}. Medians, in turns."


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _measure(source: Path, job: dict[str, Any], folder: Path, turn: int) -> tuple[float, float]:
    """Return seconds, of a whole command or of a warm run, and megabytes at the peak."""
    environment = os.environ | {"PYTHONPATH": str(source), "PYTHONWARNINGS": "ignore"}
    if "command" in job:
        command = [sys.executable, "-m", "lexiseg", job["command"], str(folder / "small.png")]
        target = folder / f"out-{source.parent.name}-{job['command']}-{turn}"
        if job["command"] == "segment":
            command += [*WORDS, "--out", str(target)]
        else:
            command += ["remove", "car", "--words", "road; sky; tree", "--out", f"{target}.png"]
        started = time.perf_counter()
        peak = _run(command, environment)[1]
        return time.perf_counter() - started, peak
    given = {**job, "photo": str(folder / f"{job['photo']}.png"), "words": list(WORDS)}
    text, _ = _run([sys.executable, "-c", _PROBE, json.dumps(given)], environment)
    seconds, peak = json.loads(text.splitlines()[-1])
    return statistics.median(seconds), peak


def _run(command: list[str], environment: dict[str, str]) -> tuple[str, float]:
    """Run a process; return what it prints and its peak memory in MB."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.PIPE)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            message = process.stderr.read().decode() if process.stderr else ""
            raise Unmeasurable(f"a process failed: {message.strip()[-300:]}")
        out.seek(0)
        return out.read(), usage.ru_maxrss / 1024
