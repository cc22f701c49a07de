"""`lexiseg reproduce`: published numbers, the command of each, what it needs, what comes out."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg.cli.inputs import to_path
from lexiseg.cli.terminal import Parser, table
from lexiseg.errors import InputError, OptionError, WeightsMissing

if TYPE_CHECKING:
    from lexiseg.evaluation.published_results import Row
    from lexiseg.evaluation.reproduce import Need

__all__ = ["config_of", "run"]

_NOTES = """Without PAPER: the papers; with it alone: its rows. Nothing is downloaded, but weights
with --pull. docs/reproduce has all rows with their sources.

examples:
  lexiseg reproduce
  lexiseg reproduce sclip
  lexiseg reproduce sclip voc21 --dry-run --root VOCdevkit
  lexiseg reproduce sclip voc21 --root VOCdevkit --out sclip-voc21
"""
_ENCODERS = ("--encoder", "--model")


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("reproduce", "Measure again what papers report.", epilog=_NOTES)
    parser.usage = "lexiseg reproduce [PAPER [ROW]] [options]"
    add = parser.add_argument
    add("paper", nargs="?", metavar="PAPER", help="one of the list")
    add("row", nargs="?", metavar="ROW", help="one of the paper's")
    add("--dry-run", action="store_true", help="say what it needs and how long it takes")
    add("--root", metavar="DIR", type=to_path, help="where the data set lies")
    add("--out", metavar="DIR", type=to_path, help="write the results of the run there")
    add("--limit", metavar="N", type=int, help="only N photos, phrases or episodes")
    add("--jobs", metavar="N", type=int, help="processes that work at the same time")
    add("--resume", action="store_true", help="go on with a run that was ended, in --out")
    add("--encoder", metavar="NAME", help="another encoder than the paper's, for a trial")
    add("--device", help="auto, cpu, cuda, cuda:1, mps")
    add("--pull", action="store_true", help="download weights that are missing")
    add("--json", action="store_true", help="print one JSON document")
    args = parser.parse(argv)
    if args.row is None:
        for flag in ("dry_run", "root", "out", "limit", "jobs", "resume", "encoder", "pull"):
            if getattr(args, flag):
                raise OptionError(
                    f"--{flag.replace('_', '-')} is for one row; name it: lexiseg reproduce "
                    f"{args.paper or 'PAPER'} ROW"
                )
        return _list(args.paper, as_json=args.json)
    from lexiseg.evaluation.published_results import find_row

    row = find_row(args.paper, args.row)
    if not row.options and not args.dry_run:
        raise OptionError(f"{row.paper} {row.name} cannot be measured: {row.note}")
    document = _plan(row, args) if args.dry_run else _measure(row, args)
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    sys.stdout.write(text if args.json else _report(document))
    return 0


def config_of(arguments: Sequence[str]) -> Any:
    """Return the method's Config that a command describes; arguments: "evaluate" and what follows.

    Raises OptionError and UnknownName as the command would.
    """
    from lexiseg.cli import options
    from lexiseg.cli.evaluate import parse

    with contextlib.redirect_stderr(io.StringIO()):  # what --model stands for is said by the run
        return options.build_config(parse(list(arguments[1:])))


def _list(paper: str | None, *, as_json: bool) -> int:
    from lexiseg.errors import UnknownName
    from lexiseg.evaluation.published_results import PAPERS

    if paper is not None and paper not in PAPERS:
        raise UnknownName.among("paper", paper, PAPERS)
    chosen = PAPERS.values() if paper is None else [PAPERS[paper]]
    if as_json:
        rows = [_described(row) for one in chosen for row in one.rows.values()]
        sys.stdout.write(json.dumps({"rows": rows}, ensure_ascii=False, indent=1) + "\n")
        return 0
    if paper is None:
        lines = [["paper", "rows", "with a command", "what it is"]]
        for one in chosen:
            able = sum(bool(row.options) for row in one.rows.values())
            lines.append([one.name, str(len(one.rows)), str(able), one.title])
        sys.stdout.write(table(lines, indent=0, right=(1, 2)))
        sys.stdout.write("lexiseg reproduce PAPER   the rows of one\n")
        return 0
    lines = [["row", "data", "published"]]
    for row in PAPERS[paper].rows.values():
        numbers = ", ".join(f"{name} {value:g}" for name, value in row.published.items())
        lines.append([row.name, row.data, numbers + ("" if row.options else "  (no command)")])
    sys.stdout.write(f"{PAPERS[paper].title}\n{table(lines)}")
    sys.stdout.write(f"lexiseg reproduce {paper} ROW --dry-run   what one needs\n")
    return 0


def _described(row: Row) -> dict[str, Any]:
    from lexiseg.evaluation.published_results import PAPERS
    from lexiseg.evaluation.reproduce import command

    note = "; ".join(text for text in (row.note, PAPERS[row.paper].note) if text)
    return {
        "paper": row.paper, "row": row.name, "title": PAPERS[row.paper].title, "data": row.data,
        "published": dict(row.published), "source": row.source, "note": note,
        "command": command(row) or None,
    }  # fmt: skip


def _arguments(row: Row, args: argparse.Namespace) -> list[str]:
    """The row's arguments with what this call changes of them."""
    from lexiseg.evaluation.reproduce import arguments

    given = arguments(row, args.root)
    changed: dict[str, str] = {}
    if args.encoder is not None:
        given = _without(given, _ENCODERS)
        changed["--encoder"] = args.encoder
    if args.limit is not None:
        given = _without(given, ("--limit",))
        changed["--limit"] = str(args.limit)
    changed |= {
        f"--{name}": str(getattr(args, name))
        for name in ("jobs", "device")
        if getattr(args, name) is not None
    }
    return [*given, *(part for pair in changed.items() for part in pair)]


def _without(given: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The arguments without these flags and their values."""
    out: list[str] = []
    skip = False
    for part in given:
        if not skip and part not in flags:
            out.append(part)
        skip = part in flags
    return out


def _needs(row: Row, given: Sequence[str], args: argparse.Namespace) -> list[Need]:
    from lexiseg.evaluation.reproduce import data_need, weights_needs

    return [*weights_needs(config_of(given)), data_need(row, args.root)]


def _plan(row: Row, args: argparse.Namespace) -> dict[str, Any]:
    """What the run needs, and how long it would take at least."""
    document = _described(row)
    if not row.options:
        return document
    from lexiseg.datasets import dataset_info
    from lexiseg.evaluation.reproduce import compute_rate, gigaflops, pictures

    given = _arguments(row, args)
    needs = [vars(need) for need in _needs(row, given, args)]
    settings = config_of(given)
    limit = given[given.index("--limit") + 1] if "--limit" in given else None
    count = pictures(dataset_info(row.data), None if limit is None else int(limit))
    each, rate = gigaflops(settings, row.data), compute_rate(args.device)
    if count is None or not each:
        return {**document, "needs": needs}
    speed = {
        "photos": count, "gigaflops_a_photo": round(each, 1),
        "machine_gigaflops_a_second": round(rate, 1), "least_seconds": round(count * each / rate),
    }  # fmt: skip
    return {**document, "needs": needs, "estimate": speed}


def _measure(row: Row, args: argparse.Namespace) -> dict[str, Any]:
    """Run the row's command; return its numbers beside the published ones."""
    from lexiseg.cli import evaluate
    from lexiseg.evaluation.reproduce import found_values

    given = _arguments(row, args)
    for need in _needs(row, given, args):
        if need.here or (need.what == "weights" and args.pull):
            continue
        kind = WeightsMissing if need.what == "weights" else InputError
        place = "on this machine" if need.what == "weights" else f"in {str(args.root or Path())!r}"
        raise kind(
            f"{row.paper} {row.name} needs the {need.what} {need.name} ({need.size}), not "
            f"{place}: {need.how}"
        )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "results" if args.out is None else args.out
        given += ["--out", str(folder), *(["--resume"] if args.resume else [])]
        given += ["--pull"] if args.pull else []
        with contextlib.redirect_stdout(io.StringIO()):
            evaluate.run(given[1:])
        results = json.loads((folder / "results.json").read_text("utf-8"))
    found = found_values(row, results)
    return {
        **_described(row),
        "command": results["command"],
        "found": found,
        "difference": {
            name: None if value is None else round(value - row.published[name], 4)
            for name, value in found.items()
        },
        "limit": args.limit,
        "encoder": args.encoder,
        "results": None if args.out is None else str(args.out),
    }


def _report(document: Mapping[str, Any]) -> str:
    from lexiseg.cli.evaluate import duration

    lines = [f"{document['paper']} {document['row']}: {document['title']}"]
    if document["command"]:
        lines.append(document["command"])
    found, apart = document.get("found"), document.get("difference")
    head = ["", "published", *(["here", "difference"] if found else [])]
    rows = [head]
    for name, value in document["published"].items():
        row = [name, f"{value:.2f}"]
        if found is not None and apart is not None:
            ours, gap = found[name], apart[name]
            row += ["-", "-"] if ours is None else [f"{ours:.2f}", f"{gap:+.2f}"]
        rows.append(row)
    lines += ["", table(rows, right=(1, 2, 3)).rstrip("\n"), "", f"from: {document['source']}"]
    if document["note"]:
        lines.append(f"note: {document['note']}")
    if found and (document["limit"] or document["encoder"]):
        lines.append("a trial: on fewer photos or by another encoder than the published number")
    needs = document.get("needs")
    if needs:
        shown = [
            [n["what"], n["name"], n["size"],
             f"here{n['part'] and ', ' + n['part']}" if n["here"] else n["how"]]
            for n in needs
        ]  # fmt: skip
        lines += ["", "needs", table(shown).rstrip("\n")]
    if "estimate" in document:
        one = document["estimate"]
        lines += [
            "",
            f"at least {duration(one['least_seconds'])} on this machine: {one['photos']:,} photos "
            f"of {one['gigaflops_a_photo']:,.0f} GFLOP in the encoders, at "
            f"{one['machine_gigaflops_a_second']:,.0f} GFLOP/s (measured just now)",
        ]
    return "\n".join(lines) + "\n"
