"""`lexiseg methods`: list the ways to segment, and the settings of one."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from lexiseg.cli.terminal import Parser, table
from lexiseg.errors import UnknownName

if TYPE_CHECKING:
    from lexiseg.loading import MethodInfo

__all__ = ["run"]


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("methods", "List the ways to segment, or the settings of one of them.")
    parser.add_argument("name", nargs="?", metavar="METHOD", help="show this one's settings")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse(argv)
    from lexiseg.loading import list_methods

    found = {method.name: method for method in list_methods()}
    if args.name is not None and args.name not in found:
        raise UnknownName.among("method", args.name, found)
    chosen = [method for name, method in found.items() if args.name in (None, name)]
    if args.json:
        document = [_document(method) for method in chosen]
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    elif args.name is None:
        rows = [["method", "presets", "what it does"]]
        rows += [[m.name, ", ".join(m.presets) or "-", m.summary] for m in chosen]
        sys.stdout.write(table(rows, indent=0))
    else:
        sys.stdout.write(_settings(chosen[0]))
    return 0


def _document(method: MethodInfo) -> dict[str, Any]:
    return {
        "name": method.name,
        "summary": method.summary,
        "presets": list(method.presets),
        "data_sets": {preset: list(sets) for preset, sets in method.data_sets.items()},
        "defaults": {name: _plain(value) for name, value in method.defaults.items()},
    }


def _plain(value: object) -> Any:
    """A default as JSON holds it."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return dict(value) if isinstance(value, dict) else value


def _settings(method: MethodInfo) -> str:
    """The fields of a method's Config, with their defaults, and what they mean."""
    from lexiseg.loading import field_descriptions

    rows = [[name, _shown(value)] for name, value in method.defaults.items()]
    meaning = field_descriptions(method.name)
    presets = ", ".join(method.presets) or "none"
    head = f"{method.name}: {method.summary}\npresets (--preset): {presets}\n"
    for preset, sets in method.data_sets.items():
        head += f"  {preset}@ {', '.join(sets)}\n"
    head += "\n"
    return f"{head}fields (--set FIELD=VALUE) and their defaults\n{table(rows)}\n{meaning}\n"


def _shown(value: object) -> str:
    """A default as `--set` takes it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "; ".join(str(part) for part in value) or "(none)"
    if isinstance(value, dict):
        return "; ".join(f"{key}={part}" for key, part in value.items()) or "(none)"
    return str(value)
