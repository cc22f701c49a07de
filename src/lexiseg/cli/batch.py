"""`lexiseg batch`: segment and edit folders and tables of pictures; go on where it was ended."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from lexiseg.cli import inputs, options
from lexiseg.cli.modes import add_mode_flags
from lexiseg.cli.terminal import Parser, Progress, on_one_line
from lexiseg.errors import NothingFound, OptionError, PictureError, PromptError
from lexiseg.prompts.written import to_path

if TYPE_CHECKING:
    from lexiseg.batch.options import BatchResult

__all__ = ["run"]

_USAGE = """lexiseg batch SOURCE... OUT [--words "WORD; WORD"] [options]"""
_NOTES = """examples:
  lexiseg batch photos/ out/ --words "sky; road; car"
  lexiseg batch "2026/**/*.jpg" out/ --words "sky; road" --format coco --workers 8
  lexiseg batch photos/ out/ --operation "blur face --radius 12"
  lexiseg batch list.csv out/
  lexiseg batch --data voc21 --root VOCdevkit out/
  lexiseg batch list.parquet out/ --shard 3/16
  find . -name "*.jpg" | lexiseg batch - out/ --words "sky; road"
  lexiseg batch inbox/ out/ --words "sky; road" --watch 10

A SOURCE is a folder, a pattern, a picture, or a table: CSV, TSV, JSON lines or Parquet, with a
column `picture`, and as need be: words, background, points, not_points, boxes, like, operation and
its options. Further columns are kept. "-" is stdin: names, one a line, or a table.

Run it again to go on where it was ended: what is done is not done again. OUT gets the results of
each picture as `segment` and `edit` write them, pictures.csv, failures.csv, masks.parquet (all
masks) and index.html (thumbnails).

exit codes: 0 done, 1 some pictures failed, 2 bad input, 3 nothing matched, 4 weights or an extra
are missing, 130 interrupted
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    args = _parser().parse(argv)
    if len(args.items) < (1 if args.data else 2):
        raise PictureError("name what to work on, and a folder for the results: batch SOURCE OUT")
    if not args.data and (args.root or args.split):
        raise OptionError("--root and --split say where a data set lies; name it by --data")
    from lexiseg.batch.plan import is_table

    # All that can be refused is, before a model is loaded: that takes seconds.
    *sources, out = args.items
    if is_table(out):
        raise OptionError(f"{out!r} is a table; the last name is the folder for the results")
    words = () if args.words is None else tuple(_words(args.words))
    background: Any = options.background(args.background).get("background", "default")
    from lexiseg.batch.run import run_batch
    from lexiseg.protocols import LoadOptions

    load = LoadOptions(args.device, args.dtype, bool(args.pull), args.offline or None)
    config = _config(args, words, sources)
    with Progress(quiet=args.quiet) as progress:
        result = run_batch(
            config,
            [*sources, *_data_sets(args)],
            out if "://" in out else to_path(out),
            words,
            background=background if isinstance(background, str | None) else tuple(background),
            like=args.like,
            operation=args.operation,
            load_options=load,
            progress=progress.step,
            **_given(args),
        )
    return _report(result, args)


def _data_sets(args: argparse.Namespace) -> list[Any]:
    """The open data sets of --data."""
    from lexiseg.datasets import open_datasets

    return [one for name in args.data for one in open_datasets(name, args.split, root=args.root)]


def _parser() -> Parser:
    parser = Parser("batch", "Work on many pictures.", usage=_USAGE, epilog=_NOTES)
    parser.add_argument(
        "items", nargs="*", metavar="SOURCE", help="pictures or tables; then the folder of results"
    )
    add = parser.add_argument_group("data sets as sources").add_argument
    add(
        "--data", metavar="SET", action="append", default=[],
        help="photos of a set, as of evaluate, by its own words; may be repeated",
    )  # fmt: skip
    add("--root", metavar="DIR", type=to_path, help="where published data sets lie")
    add("--split", help="the part of it")
    group = parser.add_argument_group("what to find and do, where no row says it")
    add = group.add_argument
    add("--words", metavar='"W; W"', help="the words, or @FILE, @ade20k, @known; else @auto")
    options.add_competition_flags(group)
    options.add_flat_flag(group)
    add("--instances", metavar="WAY", help="masks, parts or off, as of segment")
    add(
        "--like", metavar="[WORD=]FILE[:X0,Y0,X1,Y1]", action="append", default=[],
        help="what an example picture shows, or its box; may be repeated",
    )  # fmt: skip
    add("--operation", metavar='"OP WORD"', help='as of edit: "blur face --radius 8 + remove dog"')
    add = parser.add_argument_group("output").add_argument
    add("--both", action="store_true", help="write results of pictures that are edited, too")
    add(
        "--write", metavar="KINDS",
        help="files of each picture: overlay, labels, masks, cutouts, heatmaps; or none",
    )  # fmt: skip
    add("--masks", metavar="KIND", help="the table of all masks: parquet, jsonl or none")
    add(
        "--format", metavar="NAME", action="append", default=[],
        help="write all results in a format as well, such as coco; may be repeated",
    )  # fmt: skip
    add("--no-sheet", action="store_true", help="make no index.html")
    add("--max-pixels", metavar="N", type=int, help="refuse larger pictures")
    add("--json", action="store_true", help="print one JSON document")
    add("-q", "--quiet", action="store_true", help="print errors only")
    add = parser.add_argument_group("the run").add_argument
    add("--workers", metavar="N", type=int, help="processes; else one a CPU, or a GPU")
    add("--threads", metavar="N", type=int, help="of each process; the bytes may depend on it")
    add(
        "--ray", metavar="ADDRESS", nargs="?", const="local",
        help="work on Ray: HOST:PORT, auto, or without an address one on this machine",
    )  # fmt: skip
    add("--shard", metavar="I/N", type=_shard, help="do only each Nth picture, from the Ith on")
    add("--anew", action="store_true", help="forget what an earlier run has done")
    add("--watch", metavar="SECONDS", type=float, help="look for new pictures, until interrupted")
    options.add_model_flags(parser)
    add_mode_flags(parser)
    return parser


def _words(text: str) -> list[str]:
    """The words of `--words`; "@auto", "@known" and data sets stay names."""
    named = text.strip()
    if named.startswith("@") and not inputs.word_files([named]):
        return [named]
    return inputs.words([text])


def _config(args: argparse.Namespace, words: tuple[str, ...], sources: list[str]) -> Any:
    """The Config of the method; one that takes points and boxes where these are asked for."""
    from dataclasses import replace

    from lexiseg.batch.plan import is_table, wants_masks
    from lexiseg.prompts import Vocabulary

    tables = [source for source in sources if is_table(source)]
    if args.method is None and (args.masker or args.masker_checkpoint):
        args.method = options.WITH_MASKS
    if args.method is None and any(map(wants_masks, tables)):
        args.method = options.WITH_MASKS
    given = {"flat": True} if args.flat else {}
    if args.instances is not None:
        given["instances"] = args.instances
    config = options.build_config(args, **given)
    by_word = [text for text in args.threshold if "=" in text]
    if by_word and (tables or args.data or not words):
        raise OptionError(
            f"--threshold {by_word[0]} is of one word, and pictures may have others; give a score "
            "for all, or --words and neither a table nor a data set"
        )
    asked = Vocabulary.parse(list(words)).names if by_word else ()
    thresholds = options.thresholds(args.threshold, asked)
    options.refuse_twice(args, thresholds)
    return replace(config, **thresholds)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of BatchOptions that flags give."""
    from lexiseg.batch.options import BatchOptions

    names = {field.name for field in fields(BatchOptions)}
    given = {
        name: value
        for name, value in vars(args).items()
        if name in names and value is not None and value is not False
    }
    given["formats"] = tuple(args.format)
    if args.no_sheet:
        given["sheet"] = False
    if args.write is not None:
        kinds = [part.strip() for part in args.write.replace(";", ",").split(",") if part.strip()]
        if not kinds:
            raise PromptError("--write names no kind of file; give some, or none")
        given["kinds"] = () if kinds == ["none"] else tuple(kinds)
    return given


def _shard(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(f"give I/N, such as 1/4, got {text!r}")
    return int(number), int(count)


def _report(result: BatchResult, args: argparse.Namespace) -> int:
    """Say what became of the run; return the exit code."""
    if not args.quiet:
        for remark in result.remarks:
            sys.stderr.write(f"lexiseg: {on_one_line(remark)}\n")
    for name, error in result.failed:
        about = "" if repr(name) in error else f"{on_one_line(name)}: "
        sys.stderr.write(f"lexiseg: {about}{on_one_line(error)}\n")
    if args.json:
        sys.stdout.write(json.dumps(result.to_json(), ensure_ascii=False, indent=1) + "\n")
    elif not args.quiet:
        sys.stdout.write(_summary(result))
    if result.failed:
        count = f"{len(result.failed):,} of {result.total:,}"
        sys.stderr.write(f"lexiseg: {count} pictures failed; see failures.csv\n")
        return 1
    if not result.found and not result.waiting:
        raise NothingFound(f"nothing found in {result.total:,} pictures; try other words")
    return 0


def _summary(result: BatchResult) -> str:
    rate = result.done / result.seconds if result.seconds else 0.0
    lines = [f"{result.done:,} pictures done in {result.seconds:.1f} s, {rate:.1f} a second"]
    if result.earlier:
        lines.append(f"{result.earlier:,} were done before")
    if result.not_found:
        lines.append(f"nothing to edit in {len(result.not_found):,}")
    if result.waiting:
        lines.append(f"{result.waiting:,} are left to other shards; tables are made with the last")
    lines.append(f"{result.instances:,} masks -> {on_one_line(str(result.out))}")
    return "\n".join(lines) + "\n"
