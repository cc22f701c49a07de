"""Published numbers, measured again: every row whose weights and data are on this machine."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.machine import Unmeasurable, output
from benchmarks.rows.common import markdown
from lexiseg.cli.reproduce import config_of
from lexiseg.evaluation.published_results import PAPERS, Row
from lexiseg.evaluation.reproduce import arguments, data_need, weights_needs

ABOUT = "published numbers measured again, where the weights and data are here"
NEEDS = ("data",)


def check(options: Namespace) -> str | None:
    """Return what is missing for every row; None where at least one can run."""
    if _ready(options.data):
        return None
    return "no row has its weights and its data here; lexiseg reproduce PAPER ROW --dry-run"


def run(options: Namespace) -> dict[str, Any]:
    """Run the rows that can be run, each as its own command."""
    ready = _ready(options.data)
    if not ready:
        raise Unmeasurable(check(options) or "nothing to run")
    rows = {}
    for row, root in ready:
        print(f"{row.paper} {row.name}", flush=True)
        command = [sys.executable, "-m", "lexiseg", "reproduce", row.paper, row.name, "--json"]
        command += ["--root", str(root.resolve())]
        command += ["--limit", str(options.limit)] if options.limit else []
        command += ["--device", options.device] if options.device else []
        if options.work is not None:
            folder = options.work / f"{row.paper}-{row.name}"
            command += ["--out", str(folder.resolve()), "--resume"]
        made = json.loads(output(command))
        rows[f"{row.paper}/{row.name}"] = {
            key: made[key] for key in ("published", "found", "difference", "limit")
        }
    return {"rows": rows}


def table(result: dict[str, Any]) -> str:
    """Return a line a row and measure."""
    lines = [
        [name, measure, f"{value:.2f}", *_ours(row, measure)]
        for name, row in result["rows"].items()
        for measure, value in row["published"].items()
    ]
    return markdown(["row", "measure", "published", "here", "difference"], lines)


def _ours(row: dict[str, Any], measure: str) -> list[str]:
    found = row["found"][measure]
    return ["-", "-"] if found is None else [f"{found:.2f}", f"{row['difference'][measure]:+.2f}"]


def _ready(roots: list[Path]) -> list[tuple[Row, Path]]:
    found = []
    for paper in PAPERS.values():
        for row in paper.rows.values():
            if not row.options:
                continue
            if not all(need.here for need in weights_needs(config_of(arguments(row)))):
                continue
            root = next((root for root in roots if data_need(row, root).here), None)
            if root is not None:
                found.append((row, root))
    return found
