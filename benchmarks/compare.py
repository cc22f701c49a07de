"""A row on another commit and on this tree, in turns: ratios of every time and memory."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import ROOT, Unmeasurable, checkout
from benchmarks.rows.common import markdown

__all__ = ["compare", "figures", "ratio"]

_COST = re.compile(r"(?:^|_)(?:s|ms|mb|seconds|bytes)$|^(?:ms|seconds)_")
# Quantiles of Student's t for 95 %, by rounds less one.
_T = (math.inf, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def compare(name: str, commit: str, options: Namespace, arguments: list[str]) -> str:
    """Run a row on a checkout of `commit` and on this tree in turns; return a table of ratios.

    arguments: of `python -m benchmarks run`, without the row. The commit must know the row. Raises
    Unmeasurable where it does not, or where a run fails.
    """
    found: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
    with checkout(Path(commit)) as before:
        trees = {"before": before, "now": ROOT}
        for turn in range(options.rounds):
            order = list(trees) if turn % 2 == 0 else list(trees)[::-1]
            for side in order:
                print(f"{name}: round {turn + 1} of {options.rounds}, {side}", flush=True)
                found[side].append(_run(name, trees[side], arguments))
    kept = [key for key in found["now"][0] if all(key in one for one in found["before"])]
    lines = []
    for key in kept:
        old, new = ([one[key] for one in found[side]] for side in ("before", "now"))
        middle, low, high = ratio(old, new)
        if math.isfinite(middle):
            lines.append([
                key, f"{np.median(old):.4g}", f"{np.median(new):.4g}", f"{middle:.3f}",
                f"{low:.3f} to {high:.3f}" if math.isfinite(high) else "-",
            ])  # fmt: skip
    if not lines:
        raise Unmeasurable(f"{name} has no time or memory that {commit} has, too")
    head = [name, f"at {commit[:10]}", "now", "ratio", "95 %"]
    return (
        f"{markdown(head, lines)}\n\nMedians, in turns, {options.rounds} rounds; ratio: now over "
        "then, the geometric mean over rounds, with Student's interval."
    )


def ratio(before: list[float], now: list[float]) -> tuple[float, float, float]:
    """Return the geometric mean of the rounds' ratios and its 95 % interval; NaN without one."""
    if min(*before, *now) <= 0:
        return math.nan, math.nan, math.nan
    logs = np.log(np.array(now) / np.array(before))
    middle = float(logs.mean())
    count = len(logs)
    if count < 2:
        return math.exp(middle), 0.0, math.inf
    half = _T[min(count - 1, len(_T) - 1)] * float(logs.std(ddof=1)) / math.sqrt(count)
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def figures(result: Any, path: str = "") -> dict[str, float]:
    """Return every time and memory of a row's result by where it stands: "small.warm_s"."""
    out: dict[str, float] = {}
    inner = enumerate(result) if isinstance(result, list) else result.items()
    for key, value in inner:
        place = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict | list):
            out |= figures(value, place)
        elif isinstance(value, int | float) and _COST.search(str(key)):
            out[place] = float(value)
    return out


def _run(name: str, tree: Path, arguments: list[str]) -> dict[str, float]:
    """Run a row in a tree; return its times and memories. Nothing of this tree is written over."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tree / "src"), str(tree)])}
    command = [sys.executable, "-m", "benchmarks", "run", name, *arguments]
    with tempfile.TemporaryDirectory() as made:
        results = tree / "benchmarks" / "results"
        if tree == ROOT:
            results = Path(made)
            command += ["--out", made]
        kept = {path: path.read_bytes() for path in results.glob("*.json")}
        done = subprocess.run(
            command, cwd=tree, env=env, capture_output=True, text=True, check=False
        )
        paths = [p for p in results.glob(f"{name}-*.json") if kept.get(p) != p.read_bytes()]
        if not paths:
            last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
            raise Unmeasurable(f"{name} cannot be run there: {last}")
        return figures(json.loads(paths[0].read_text("utf-8"))["result"])
