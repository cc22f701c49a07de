"""What the README and the docs say that commands and lines of Python print: run, and copied."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SEGMENT = "lexiseg segment examples/photos/railway.jpg train tree sky person"
UNKNOWN = "lexiseg segment examples/photos/pets.jpg dog grass asteroid"
JSON = "lexiseg segment examples/photos/pets.jpg dog grass --quiet"
_TIME = re.compile(r"(?<=\d), \d+\.\d\d s$", re.MULTILINE)
_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def readme_python() -> str:
    """Return the README's lines of Python."""
    found = _PYTHON.search((ROOT / "README.md").read_text(encoding="utf-8"))
    if found is None:
        raise LookupError("README.md holds no lines of Python between ```python and ```")
    return found[1]


def run_python(code: str, folder: Path) -> str:
    """Run lines of Python in a folder that has the example photos, and return what they print."""
    return _run(["-c", code], folder)


def readme_prints() -> str:
    """Return what the README's lines of Python print."""
    with tempfile.TemporaryDirectory() as folder:
        return f"```text\n{run_python(readme_python(), Path(folder))}```"


def segment_prints() -> str:
    """Return a command and what it prints."""
    return _session(SEGMENT)


def unknown_prints() -> str:
    """Return a command with a word that the model does not know, and what it prints."""
    return _session(UNKNOWN)


def result_json() -> str:
    """Return a result.json, its long parts cut."""
    with tempfile.TemporaryDirectory() as folder:
        _run(["-m", "lexiseg", *shlex.split(JSON)[1:]], Path(folder))
        path = Path(folder) / "lexiseg-out" / "pets" / "result.json"
        result = json.loads(path.read_text(encoding="utf-8"))
    photo = shlex.split(JSON)[2]
    result["image"]["path"] = f"../../{photo}"  # not where the project lies on this machine
    result["instances"] = result["instances"][:1]
    for one in result["instances"]:
        one["rle"]["counts"] = one["rle"]["counts"][:16] + "..."
    made = result["provenance"]
    made["config"]["background"] = [*made["config"]["background"][:2], "..."]
    hashes = made["checkpoint_sha256"]
    made["checkpoint_sha256"] = {name: f"{value[:12]}..." for name, value in hashes.items()}
    return f"```json\n{_layout(result)}\n```"


def _session(command: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        printed = _run(["-m", "lexiseg", *shlex.split(command)[1:]], Path(folder))
    printed = _TIME.sub("", printed)  # says more about the machine than about the command
    return f"```console\n$ {command}\n{printed}```"


def _run(arguments: list[str], folder: Path) -> str:
    (folder / "examples").symlink_to(ROOT / "examples")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(done.stderr)
    return done.stdout


def _layout(value: Any, indent: int = 0) -> str:
    """Return JSON in which whatever is short stands on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(flat) + indent <= 96:
        return flat
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    parts = (
        [f"{json.dumps(key)}: {_layout(inner, indent + 2)}" for key, inner in value.items()]
        if isinstance(value, dict)
        else [_layout(inner, indent + 2) for inner in value]
    )
    body = ",\n".join(" " * (indent + 2) + part for part in parts)
    return f"{opening}\n{body}\n{' ' * indent}{closing}"
