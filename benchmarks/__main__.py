"""The command: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import rows, store, tables
from benchmarks.machine import Unmeasurable
from lexiseg.errors import LexisegError


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    if not arguments or arguments[0] not in ("run", "tables", "list", "-h", "--help"):
        arguments = ["run", *arguments]
    options = _parser().parse_args(arguments)
    if options.verb == "list":
        for name in rows.NAMES:
            print(f"{name:<10} {rows.row(name).ABOUT}")
        return 0
    if options.verb == "tables":
        stale = tables.update(check=options.check)
        for path in stale:
            print(f"{'stale' if options.check else 'written'}: {path}")
        return 1 if options.check and stale else 0
    complete = True
    for name in options.rows or rows.NAMES:
        complete &= _run(name, options)
    tables.update()
    return 0 if complete else 1


def _run(name: str, options: argparse.Namespace) -> bool:
    """Measure a row and keep its result; say why where that is not possible."""
    row = rows.row(name)
    if row.NEEDS_DATA and not options.data:
        print(f"{name}: left out; it needs --data DIR, a data set or a folder of them")
        return False
    print(f"{name}: {row.ABOUT}", flush=True)
    try:
        result = row.run(options)
    except (LexisegError, Unmeasurable) as error:
        print(f"{name}: left out; {error}", flush=True)
        return False
    device = f"-{options.device}" if options.device not in (None, "cpu") else ""
    command = " ".join(["python -m benchmarks run", name, *_shown(options)])
    path = store.write(f"{name}-{options.method}{device}", command, result, options.device)
    print(f"{row.table(result)}\n{path}", flush=True)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="measure, and write benchmarks/results/")
    run.add_argument("rows", nargs="*", metavar="ROW", choices=[*rows.NAMES, []])
    run.add_argument("--method", default="tiny", help="what lexiseg.load takes (default: tiny)")
    run.add_argument("--device", help="cpu, cuda, ... (default: chosen)")
    run.add_argument("--data", action="append", type=Path, default=[], metavar="DIR")
    run.add_argument("--split", default="val", help="the split measured on (default: val)")
    run.add_argument("--splits", type=Path, metavar="FILE", help="a file of further splits")
    run.add_argument("--limit", type=int, help="only the first photos of each set")
    run.add_argument(
        "--base",
        type=Path,
        metavar="DIR",
        help="an earlier checkout, for `versions` and `edit-speed`",
    )
    run.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="keep there what is done, and go on with it, for `modes`",
    )
    run.add_argument("--official", type=Path, metavar="DIR", help="SAM's official code")
    write = verbs.add_parser("tables", help="write the tables in the docs from the results")
    write.add_argument("--check", action="store_true", help="only say which are not up to date")
    verbs.add_parser("list", help="what the rows measure")
    return parser


def _shown(options: argparse.Namespace) -> list[str]:
    """Return the options that make a difference, as they were given; folders by name only."""
    shown = [] if options.method == "tiny" else ["--method", options.method]
    shown += ["--device", options.device] if options.device else []
    for folder in options.data:
        shown += ["--data", folder.resolve().name]
    shown += [] if options.split == "val" else ["--split", options.split]
    shown += ["--splits", options.splits.name] if options.splits else []
    shown += ["--official", options.official.name] if options.official else []
    return shown + (["--limit", str(options.limit)] if options.limit else [])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
