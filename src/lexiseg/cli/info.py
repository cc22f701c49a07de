"""`lexiseg info`: what is installed, and where it computes."""

from __future__ import annotations

import json
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata, version
from typing import Any

from lexiseg.cli.terminal import Parser, table
from lexiseg.errors import LexisegError

__all__ = ["run"]

_PARTS = ("torch", "numpy", "pillow", "opencv-contrib-python-headless", "safetensors", "tokenizers")
_FOR_DEVELOPERS = ("dev", "lint", "test")


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("info", "Show what is installed and where it computes.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse(argv)
    facts = _facts()
    if args.json:
        sys.stdout.write(json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
        return 0
    rows = []
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {part}" for key, part in value.items())
        rows.append([name, "none" if value in (None, "") else str(value)])
    sys.stdout.write(table(rows, indent=0))
    return 0


def _facts() -> dict[str, Any]:
    import torch

    from lexiseg._version import __version__
    from lexiseg.checkpoints import cache_folder, get
    from lexiseg.device import pick

    compute = pick()
    try:
        files = get("tiny").files
        bundled = {file.name: file.sha256[:16] for file in files}
    except LexisegError as error:
        bundled = {"missing": str(error)}
    return {
        "lexiseg": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": compute.device_name,
        "dtype": compute.dtype_name,
        "threads": torch.get_num_threads(),
        "packages": {name: _version(name) for name in _PARTS},
        "extras": _extras(),
        "cache": str(cache_folder()),
        "bundled weights (sha256)": bundled,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _extras() -> dict[str, str]:
    """The extras that users may install, and "yes" or "no" for whether each one is there."""
    try:
        declared = metadata("lexiseg")
    except PackageNotFoundError:  # run from its folder, without being installed
        return {}
    requirements: dict[str, list[str]] = {}
    for line in declared.get_all("Requires-Dist") or []:
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        package = re.match(r"[A-Za-z0-9._-]+", line)
        if extra and package:
            requirements.setdefault(extra[1], []).append(package[0])
    return {
        extra: "no" if "missing" in map(_version, packages) else "yes"
        for extra, packages in sorted(requirements.items())
        if extra not in _FOR_DEVELOPERS
    }
