"""`lexiseg edit`: find words in a picture, and remove, replace or restyle what they name."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg.cli import edit_steps, options
from lexiseg.cli.edit_steps import EditStep
from lexiseg.cli.terminal import Parser, Progress
from lexiseg.errors import NothingFound, OptionError

if TYPE_CHECKING:
    from lexiseg.edit import EditResult
    from lexiseg.imaging import Picture
    from lexiseg.prompts import Vocabulary
    from lexiseg.results import Segmentation

__all__ = ["run"]

_OUT = Path("lexiseg-out")
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


@dataclass(frozen=True)
class _Job:
    """A picture, and the file for the edited one."""

    source: Path
    picture: Picture
    target: Path


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    given = [_parser().parse(part) for part in edit_steps.split(argv)]
    args = edit_steps.common_flags(given)
    source, steps = edit_steps.read_steps(given)
    # All that can be refused is, before a model is loaded: that takes seconds.
    vocabulary, config = _question(edit_steps.all_words(steps, args.words), args)
    job = _job(source, steps, args)
    with Progress(quiet=args.quiet) as progress:
        steps = _with_networks(steps, args, progress)
        segmenter = options.load_segmenter(args, config)
        seg = segmenter(job.picture, vocabulary)
        result = _edit(job.picture, seg, steps)
    files = _save(result, job.target)
    missing = [word for step in steps for word in step.names if word not in seg.found]
    if args.json:
        document: dict[str, Any] = {"picture": str(source), "files": [str(path) for path in files]}
        document |= {"missing": missing, **result.to_json()}
        document["provenance"] = seg.provenance.to_json()
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    elif not args.quiet:
        sys.stdout.write(_summary(source, seg, result, files, missing))
    return 0


def _parser() -> Parser:
    from lexiseg.edit import list_operations

    listed = "\n  ".join(f"{one.name:10}  {one.summary}" for one in list_operations())
    notes = _NOTES.replace("{operations}", f"\n  {listed}")
    parser = Parser("edit", "Edit what words name.", usage=_USAGE, epilog=notes)
    parser.add_argument(
        "items",
        nargs="*",
        metavar="PICTURE OPERATION WORD",
        help="a picture, what to do, with what",
    )
    edit_steps.add_step_flags(parser)
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


def _question(words: list[str], args: argparse.Namespace) -> tuple[Vocabulary, Any]:
    """The words against their background, and the Config of the method that is to find them."""
    from lexiseg.prompts import Vocabulary

    # What a dense map leaves of a thing's edges stays in the picture, and shows.
    args.method = args.method or options.WITH_MASKS
    config = options.build_config(args)
    background = options.background(args.background)
    vocabulary = Vocabulary.parse(
        words, **background, default_background=config.background, flat=config.flat
    )
    fields = options.thresholds(args.threshold, vocabulary.names)
    options.refuse_twice(args, fields)
    return vocabulary, replace(config, **fields)


def _job(source: Path, steps: Sequence[EditStep], args: argparse.Namespace) -> _Job:
    """Read the picture; choose the file: `--out` where it names a picture, else one in its folder.

    What the reader remarked, and what the file cannot hold, is said before any work. Raises
    PictureError, OutputError, and OptionError where it would be the photo itself.
    """
    from lexiseg import imaging

    limit = {} if args.max_pixels is None else {"max_pixels": args.max_pixels}
    picture = imaging.read(source, **limit)
    path = _OUT if args.out is None else args.out
    if path.suffix.lower() not in imaging.WRITABLE_SUFFIXES or path.is_dir():
        path = path / f"{source.stem}-{'-'.join(step.operation for step in steps)}.png"
    if path.resolve() == source.resolve():
        raise OptionError(f"--out {str(path)!r} is the photo itself; choose another name")
    transparent = any(step.makes_transparent for step in steps)
    remarks = imaging.check_target(picture, path, transparent=transparent)
    if not args.quiet:
        for remark in (*picture.notes, *remarks):
            sys.stderr.write(f"lexiseg: {source}: {remark}\n")
    return _Job(source, picture, path)


def _with_networks(
    steps: Sequence[EditStep], args: argparse.Namespace, progress: Progress
) -> list[EditStep]:
    """The steps, the network of each loaded where it needs one."""
    names = ("device", "dtype", "pull", "offline")
    where = {name: getattr(args, name) for name in names if getattr(args, name)}
    return [step.with_network(progress.step, **where) for step in steps]


def _edit(picture: Picture, seg: Segmentation, steps: Sequence[EditStep]) -> EditResult:
    """Do one step after the other. Raises NothingFound, before any is done."""
    from lexiseg import edit

    for step in steps:
        if not any(word in seg.found for word in step.names):
            raise NothingFound(_not_found(step.names, seg))
    result: Any = picture
    for step in steps:
        words, masks = step.masks(seg)
        result = edit.run(step.operation, result, masks, step.config, words=words)
    edited: EditResult = result
    return edited


def _save(result: EditResult, path: Path) -> list[Path]:
    """Write the pictures of a result: one to `path`, several to numbered names beside it."""
    if len(result.pictures) == 1:
        return [result.save(path)]
    names = [path.with_stem(f"{path.stem}-{n}") for n in range(1, len(result.pictures) + 1)]
    return [result.save(name, number) for number, name in enumerate(names)]


def _not_found(names: tuple[str, ...], seg: Segmentation) -> str:
    asked = ", ".join(repr(name) for name in names)
    hint = "try a lower --threshold, or other --words"
    for item in seg.unknown:
        if item.word in names and item.nearest:
            hint = f"the model does not know it; nearest: {', '.join(item.nearest)}"
    return f"nothing found in the picture for {asked}, so it stays as it is; {hint}"


def _summary(
    source: Path, seg: Segmentation, result: EditResult, files: list[Path], missing: list[str]
) -> str:
    height, width = seg.size_hw
    lines = [f"{source}  {width} x {height}"]
    for step in result.steps:
        shares = ", ".join(f"{word} {100 * seg.share(word):.1f}%" for word in step.words)
        notes = "".join(f"; {note}" for note in step.notes)
        lines.append(f"  {step.operation}: {shares}{notes}")
    lines += [f"  not found: {word}" for word in missing]
    lines += [f"  -> {path}" for path in files]
    return "\n".join(lines) + "\n"
