"""What is downloaded and kept: the wheel, and the weights inside it."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, output
from benchmarks.rows.common import markdown

ABOUT = "size of the wheel and of the weights inside it"
NEEDS = ()


def run(options: Namespace) -> dict[str, Any]:
    """Build the wheel, and list its parts."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "-w",
            folder,
            str(ROOT),
        ]
        output(command)
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            parts = {part.filename: part.file_size for part in archive.infolist()}
        weights = {name: size for name, size in parts.items() if "/weights/" in name}
        return {
            "wheel_bytes": wheel.stat().st_size,
            "weights_bytes": sum(weights.values()),
            "weights": {Path(name).name: size for name, size in sorted(weights.items())},
            "code_bytes": sum(size for name, size in parts.items() if name.endswith(".py")),
        }


def table(result: dict[str, Any]) -> str:
    """Return a line a part, in megabytes of 10^6 bytes."""
    lines = [
        ["wheel", result["wheel_bytes"]],
        ["weights inside, all parts", result["weights_bytes"]],
        *([f"{name}", size] for name, size in result["weights"].items()),
        ["Python code", result["code_bytes"]],
    ]
    return markdown(["part", "MB"], [[name, f"{size / 1e6:.2f}"] for name, size in lines])
