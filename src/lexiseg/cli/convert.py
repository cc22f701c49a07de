"""`lexiseg convert`: annotations of one format as another."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lexiseg.cli import inputs
from lexiseg.cli.exports import chosen_format, complete_folder, tell
from lexiseg.cli.terminal import Parser, Progress, on_one_line, table
from lexiseg.errors import InputError, OptionError

if TYPE_CHECKING:
    from lexiseg.export import Annotated, Format
    from lexiseg.export.source import Source

__all__ = ["run"]

_USAGE = "lexiseg convert IN... --to FORMAT [--out DIR] [options]\n       lexiseg convert --list"
_NOTES = """examples:
  lexiseg convert cvat.xml --to coco
  lexiseg convert lexiseg-out --to yolo --out training-set --set val=0.1
  lexiseg convert instances.json --to labelme --photos photos

IN is a file or folder of annotations; its format is known by what is in it. What a format cannot
hold is measured and said. docs/how_to/export.md compares the formats.
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    args = _parser().parse(argv)
    if args.list:
        _list(json_wanted=args.json)
        return 0
    if args.to is None or not args.inputs:
        raise OptionError("give a file or folder of annotations, and --to FORMAT; see --list")
    form = chosen_format(args.to, args.settings or ())
    if args.photos is not None and not args.photos.is_dir():
        raise InputError(f"--photos {str(args.photos)!r} is no folder; check the path")
    found = _sources(args)
    target = args.out
    if target is None:
        target = Path(f"{Path(args.inputs[0]).resolve().stem}-{form.name}")
    from lexiseg.batch.outputs import check_folder

    if target.resolve() in {source.folder.resolve() for _, source in found}:
        raise OptionError(f"--out {str(target)!r}: it is read from there; give another folder")
    check_folder(target)
    with Progress(quiet=args.quiet) as progress, complete_folder(target) as stage:
        written = form.write(_pictures(found, progress), stage)
        if not written.pictures:
            raise InputError(f"{args.inputs[0]!r} holds no picture")
        files = [path.relative_to(stage).as_posix() for path in written.files]
    written.files = [target / name for name in files]
    written.notes = [note for _, source in found for note in source.notes] + written.notes
    if args.json:
        document = {
            "from": [one.name for one, _ in found],
            "to": form.name,
            "folder": str(target),
            "files": files,
            "pictures": written.pictures,
            "instances": written.instances,
            "notes": written.notes,
        }
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    else:
        tell(written, form, target, quiet=args.quiet)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "convert", "Turn annotations of one format into another.", usage=_USAGE, epilog=_NOTES
    )
    add = parser.add_argument
    add("inputs", nargs="*", metavar="IN", help="a file or folder of annotations")
    add("--to", metavar="FORMAT", help="the format to write")
    add("--out", metavar="DIR", type=inputs.to_path, help="(IN-FORMAT)")
    add("--photos", metavar="DIR", type=inputs.to_path, help="where the pictures lie")
    add(
        "--set",
        metavar="OPTION=VALUE",
        action="append",
        dest="settings",
        help="an option of the format, see --list; may be repeated",
    )
    add("--list", action="store_true", help="list the formats and their options")
    add("--json", action="store_true", help="print one JSON document")
    add("-q", "--quiet", action="store_true", help="print errors only")
    return parser


def _sources(args: argparse.Namespace) -> list[tuple[Format, Source]]:
    from lexiseg.export import recognise

    return [recognise(inputs.to_path(name), args.photos) for name in args.inputs]


def _pictures(found: list[tuple[Format, Source]], progress: Progress) -> Iterator[Annotated]:
    number = 0
    for form, source in found:
        for picture in form.read(source):
            number += 1
            progress.step(number, 0, on_one_line(picture.file_name))
            yield picture


def _list(*, json_wanted: bool) -> None:
    from dataclasses import fields

    from lexiseg.export import list_formats

    rows = []
    for form in list_formats():
        options = {one.name: getattr(form, one.name) for one in fields(form)}
        rows.append((form, options))
    if json_wanted:
        document = [
            {"name": f.name, "summary": f.summary, "keeps": f.keeps, "reads": f.reads, "options": o}
            for f, o in rows
        ]
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        return
    lines = []
    for form, options in rows:
        lines.append([form.name, form.summary])
        lines += [["", f"--set {name}={json.dumps(value)}"] for name, value in options.items()]
    sys.stdout.write(table(lines, indent=0))
