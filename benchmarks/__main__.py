"""The command: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import needs, rows, store, tables
from benchmarks.compare import compare
from benchmarks.machine import Unmeasurable
from lexiseg.errors import LexisegError, UnknownName


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    if not arguments or arguments[0] not in ("run", "tables", "list", "-h", "--help"):
        arguments = ["run", *arguments]
    options = _parser().parse_args(arguments)
    try:
        return _do(options)
    except LexisegError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code


def _do(options: argparse.Namespace) -> int:
    """Do what the command line asks for."""
    if options.verb == "list":
        for name in rows.NAMES:
            print(f"{name:<10} {rows.row(name).ABOUT}")
        return 0
    if options.verb == "tables":
        stale = tables.update(check=options.check)
        for path in stale:
            print(f"{'stale' if options.check else 'written'}: {path}")
        return 1 if options.check and stale else 0
    names = _chosen(options)
    ready = []
    for name in names:  # before the first one starts
        lack = needs.missing(name, options)
        if lack is None:
            ready.append(name)
        else:
            print(f"{name}: left out; {lack}", flush=True)
    complete = len(ready) == len(names)
    for name in ready:
        complete &= _run(name, options)
    if options.out is None and options.compare is None:
        tables.update()
    return 0 if complete else 1


def _chosen(options: argparse.Namespace) -> list[str]:
    """The rows that were named, by either way; all, where none was."""
    names = [*options.rows, *(part for one in options.only for part in one.split(",") if part)]
    for name in names:
        if name not in rows.NAMES:
            raise UnknownName.among("row", name, rows.NAMES)
    return list(dict.fromkeys(names)) or list(rows.NAMES)


def _run(name: str, options: argparse.Namespace) -> bool:
    """Measure a row and keep its result; say why where that is not possible."""
    row = rows.row(name)
    print(f"{name}: {row.ABOUT}", flush=True)
    try:
        if options.compare is not None:
            print(compare(name, options.compare, options, _given(options)), flush=True)
            return True
        result = row.run(options)
    except (LexisegError, Unmeasurable) as error:
        print(f"{name}: left out; {error}", flush=True)
        return False
    device = f"-{options.device}" if options.device not in (None, "cpu") else ""
    command = " ".join(["python -m benchmarks run", name, *_shown(options)])
    path = store.write(
        f"{name}-{options.method}{device}", command, result, options.device, folder=options.out,
        several=getattr(row, "SPEED", False),
    )  # fmt: skip
    print(f"{row.table(result)}\n{path}", flush=True)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="measure, and write benchmarks/results/")
    run.add_argument("rows", nargs="*", metavar="ROW", help="rows; all, if none is named")
    run.add_argument("--only", action="append", default=[], metavar="ROW,...", help="rows, too")
    run.add_argument(
        "--compare",
        metavar="COMMIT",
        help="run each row on a checkout of that commit too, in turns, and print ratios",
    )
    run.add_argument(
        "--rounds",
        type=int,
        default=3,
        metavar="N",
        help="turns of both, for --compare and `versions` (default: 3)",
    )
    run.add_argument("--out", type=Path, metavar="DIR", help="write results there, and no tables")
    run.add_argument("--method", default="tiny", help="what lexiseg.load takes (default: tiny)")
    run.add_argument("--device", help="cpu, cuda, ... (default: chosen)")
    run.add_argument("--data", action="append", type=Path, default=[], metavar="DIR")
    run.add_argument("--split", default="val", help="the split measured on (default: val)")
    run.add_argument("--splits", type=Path, metavar="FILE", help="a file of further splits")
    run.add_argument("--limit", type=int, help="only the first photos of each set")
    run.add_argument(
        "--base",
        type=Path,
        metavar="DIR|COMMIT",
        help="an earlier checkout or commit, for `versions` and `edit-speed`",
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


def _given(options: argparse.Namespace) -> list[str]:
    """Return the options for a run in another folder: places as whole paths."""
    given = ["--method", options.method, "--split", options.split]
    given += ["--device", options.device] if options.device else []
    for folder in options.data:
        given += ["--data", str(folder.resolve())]
    for name in ("splits", "base", "official"):
        place = getattr(options, name)
        if place:  # of --base also a commit
            given += [f"--{name}", str(place.resolve() if place.exists() else place)]
    return given + (["--limit", str(options.limit)] if options.limit else [])


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
