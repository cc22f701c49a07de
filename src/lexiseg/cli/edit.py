"""`lexiseg edit`: find words in a picture, and remove, replace or restyle what they name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg.cli import editing, options
from lexiseg.cli.parser import Parser
from lexiseg.cli.progress import Progress
from lexiseg.errors import NothingFound, OptionError

if TYPE_CHECKING:
    from lexiseg.editing import EditResult
    from lexiseg.results import Segmentation

__all__ = ["run"]

_USAGE = """lexiseg edit PICTURE OPERATION WORD... [options]
       lexiseg edit PICTURE OPERATION WORD... + OPERATION WORD... [options]"""
_NOTES = """examples:
  lexiseg edit photo.jpg remove dog
  lexiseg edit photo.jpg replace sky --with sunset.jpg --words "tree; house"
  lexiseg edit photo.jpg style car --with cartoon + blur person --out street.png
  lexiseg edit photo.jpg background "dog; cat" --with transparent
  lexiseg edit photo.jpg cutout dog --instances

operations: {operations}

All words of a call, and those of --words, compete for the picture's pixels. The edited picture goes
to --out; the photo itself is never changed. Where a word is not found, nothing is written.

exit codes: 0 done, 2 bad input, 3 nothing matched, 4 weights or an extra are missing,
130 interrupted
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    given = [parser.parse(part) for part in editing.parts(argv)]
    args = editing.common(parser, given)
    source, steps = editing.steps(given)
    # All that can be refused is, before a model is loaded: that takes seconds.
    from lexiseg import editing as room
    from lexiseg import imaging
    from lexiseg.prompts import Vocabulary

    limit = {} if args.max_pixels is None else {"max_pixels": args.max_pixels}
    picture = imaging.read(source, **limit)
    out = editing.target(args.out, source, steps)
    names = ("device", "dtype", "pull", "offline")
    where = {name: getattr(args, name) for name in names if getattr(args, name)}
    progress = Progress(quiet=args.quiet)
    steps = [step.ready(progress.step, **where) for step in steps]
    words = editing.vocabulary(steps, args.words)
    asked = Vocabulary.parse(words).names
    # What a dense map leaves of a thing's edges stays in the picture, and shows.
    args.method = args.method or options.WITH_MASKS
    segmenter: Any = options.load_segmenter(args, **options.thresholds(args.threshold, asked))
    seg = segmenter(picture, words, **options.background(args.background))
    for step in steps:
        if not any(word in seg.found for word in step.names):
            raise NothingFound(_not_found(step.names, seg))
    result: Any = picture
    with progress:
        for step in steps:
            found = tuple(word for word in step.names if word in seg.found)
            masks = editing.masks(seg, found, step.operation, instances=step.instances)
            result = room.apply(step.operation, result, masks, words=found, **step.options)
    files = editing.save(result, out)
    if args.json:
        document = {"picture": str(source), "files": [str(path) for path in files]}
        document |= {"missing": _missing(steps, seg), **result.to_json()}
        document["provenance"] = seg.provenance.to_json()
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    elif not args.quiet:
        sys.stdout.write(_said(str(source), seg, result, files, _missing(steps, seg)))
    return 0


def _parser() -> Parser:
    from lexiseg import editing as room

    listed = "\n  ".join(f"{one.name:10}  {one.summary}" for one in room.operations())
    notes = _NOTES.replace("{operations}", f"\n  {listed}")
    parser = Parser("edit", "Edit what words name.", usage=_USAGE, epilog=notes)
    parser.add_argument(
        "items",
        nargs="*",
        metavar="PICTURE OPERATION WORD",
        help="a picture, what to do, with what",
    )
    editing.add_step_flags(parser)
    group = parser.add_argument_group("what to find")
    add = group.add_argument
    add("--words", metavar='"W; W"', help="what else is in the picture: words that compete")
    add(
        "--threshold",
        metavar="SCORE",
        action="append",
        default=[],
        help="keep what scores at least this, 0 to 1; or WORD=SCORE; may be repeated",
    )
    add(
        "--background",
        metavar='"W; W"',
        help="what else competes with the words: default, none (every pixel gets a word), or words",
    )
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--out", metavar="PATH", type=Path, help="a file, or a folder (lexiseg-out)")
    add("--json", action="store_true", help="print one JSON document")
    add("--max-pixels", metavar="N", type=int, help="refuse larger pictures")
    add("-q", "--quiet", action="store_true", help="print errors only")
    options.add_model_flags(parser)
    return parser


def _not_found(names: tuple[str, ...], seg: Segmentation) -> str:
    asked = ", ".join(repr(name) for name in names)
    hint = "try a lower --threshold, or other --words"
    for item in seg.unknown:
        if item.word in names and item.nearest:
            hint = f"the model does not know it; nearest: {', '.join(item.nearest)}"
    return f"nothing found in the picture for {asked}, so it stays as it is; {hint}"


def _missing(steps: list[editing.Planned], seg: Segmentation) -> list[str]:
    return [word for step in steps for word in step.names if word not in seg.found]


def _said(
    source: str, seg: Segmentation, result: EditResult, files: list[Path], missing: list[str]
) -> str:
    height, width = seg.size_hw
    lines = [f"{source}  {width} x {height}"]
    for step in result.steps:
        shares = ", ".join(f"{word} {100 * seg.share(word):.1f}%" for word in step.words)
        notes = "".join(f"; {note}" for note in step.notes)
        lines.append(f"  {step.operation}: {shares}{notes}")
    lines += [f"  not found: {word}" for word in missing]
    lines += [f"  -> {path}" for path in files]
    if not files:
        raise OptionError("the edit gave no picture")
    return "\n".join(lines) + "\n"
