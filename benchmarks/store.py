"""Results as files: one JSON a row and method, laid out so that a change is easy to see."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from benchmarks import machine

RESULTS = Path(__file__).resolve().parent / "results"
_LINE = 110


def write(
    name: str,
    command: str,
    result: dict[str, Any],
    device: str | None = None,
    *,
    folder: Path | None = None,
    several: bool = False,
) -> Path:
    """Write NAME.json to a folder, `results` if left out: the result, and on what it was measured.

    several: what the file holds of other machines is kept in it, under "others".
    """
    content = {
        "name": name,
        "command": command,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "commit": machine.commit(),
        "machine": machine.describe(device),
        "result": result,
    }
    folder = RESULTS if folder is None else folder
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    if several and path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        others = before.pop("others", [])
        del before["name"]
        here = _place(content["machine"])
        content["others"] = [
            one for one in (before, *others) if _place(one["machine"]) != here
        ]  # fmt: skip
    path.write_text(layout(content) + "\n", encoding="utf-8")
    return path


def _place(machine: dict[str, Any]) -> tuple[Any, ...]:
    """What tells machines apart."""
    return tuple(machine.get(key) for key in ("cpu", "cores", "gpu"))


def read(name: str) -> dict[str, Any]:
    """Read `results/NAME.json`."""
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def names() -> list[str]:
    """Return the names of all committed results, in order."""
    return sorted(path.stem for path in RESULTS.glob("*.json"))


def layout(value: Any, indent: int = 0) -> str:
    """Return JSON in which whatever fits stands on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(flat) + indent <= _LINE:
        return flat
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        parts = [
            f"{pad}{json.dumps(key)}: {layout(inner, indent + 1)}" for key, inner in value.items()
        ]
    else:
        parts = [pad + layout(inner, indent + 1) for inner in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(parts) + f"\n{' ' * indent}{closing}"
