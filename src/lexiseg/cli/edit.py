"""`lexiseg edit`: find words in pictures, and remove, replace or restyle what they name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg.cli import edit_steps, inputs, options
from lexiseg.cli.picture_run import PictureRun
from lexiseg.cli.terminal import Parser, Progress, on_one_line
from lexiseg.edit.steps import EditStep, missing_reasons, nothing_found, run_steps
from lexiseg.errors import NothingFound, OptionError
from lexiseg.planning import (
    EditPlaces,
    Job,
    OutputFolder,
    Selection,
    edit_ending,
    plan_edits,
    plan_named_edit,
    select_pictures,
)
from lexiseg.protocols import LoadOptions

if TYPE_CHECKING:
    from lexiseg.edit import EditResult
    from lexiseg.imaging import Picture
    from lexiseg.prompts import Vocabulary
    from lexiseg.results import Segmentation

__all__ = ["run"]

_OUT = Path("lexiseg-out")
_USAGE = """lexiseg edit PICTURE... OPERATION WORD... [options]
       lexiseg edit PICTURE... OPERATION WORD... + OPERATION WORD... [options]"""
_NOTES = """examples:
  lexiseg edit photo.jpg remove dog
  lexiseg edit photo.jpg replace sky --with sunset.jpg --words "tree; house"
  lexiseg edit photo.jpg style car --with cartoon + blur person --out street.png
  lexiseg edit photo.jpg background "dog; cat" --with transparent
  lexiseg edit photo.jpg cutout dog --instances
  lexiseg edit photos/ "trip/**/*.jpg" blur face --out blurred

operations: {operations}

A PICTURE may be a folder or a pattern; all up to the name of an operation are pictures. All words
of a call, and those of --words, compete for a picture's pixels. Edited pictures go to --out; the
photos themselves are never changed. Where a word is not found, nothing is written.

exit codes: 0 done, 1 some pictures failed, 2 bad input, 3 nothing matched, 4 weights or an extra
are missing, 130 interrupted
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    given = [_parser().parse(part) for part in edit_steps.split(argv)]
    args = edit_steps.common_flags(given)
    names, steps = edit_steps.read_steps(given)
    # All that can be refused is, before a model is loaded: that takes seconds.
    vocabulary, config = _question(edit_steps.all_words(steps, args.words), args)
    selection = select_pictures(names)
    jobs, places = _plan(selection, steps, args, [*_read_files(selection, given, args)])
    task = PictureRun(selection, jobs, args)
    if task.single is not None:
        task.remarks(jobs[0], _check_target(task.single, jobs[0], steps))
    why: dict[str, str] = {}  # word -> why it was not found
    edited = 0

    def work(job: Job, picture: Picture) -> tuple[dict[str, Any], str]:
        nonlocal edited
        if task.single is None:
            task.remarks(job, _check_target(picture, job, steps))
        seg = segmenter(picture, vocabulary)
        why.update(missing_reasons(seg))
        result = run_steps(picture, seg, steps)
        from lexiseg.batch import outputs

        files = outputs.write_edit(job, result, places)
        edited += 1
        missing = [word for step in steps for word in step.names if word not in seg.found]
        document: dict[str, Any] = {"files": [str(path) for path in files], "missing": missing}
        document |= {**result.to_json(), "provenance": seg.provenance.to_json()}
        return document, _summary(job.source, seg, result, files, missing)

    with Progress(quiet=args.quiet) as progress:
        if jobs:
            steps = _with_networks(steps, args, progress)
            segmenter = options.load_segmenter(args, config)
        task.work_through(work, progress)
    failed = task.finish()
    if not failed and not edited:
        words = [word for step in steps for word in step.names]
        where = f"{len(jobs):,} pictures" if len(jobs) > 1 else "the picture"
        raise NothingFound(nothing_found(words, where, why))
    return failed


def _parser() -> Parser:
    from lexiseg.edit import list_operations

    listed = "\n  ".join(f"{one.name:10}  {one.summary}" for one in list_operations())
    notes = _NOTES.replace("{operations}", f"\n  {listed}")
    parser = Parser("edit", "Edit what words name.", usage=_USAGE, epilog=notes)
    parser.add_argument(
        "items",
        nargs="*",
        metavar="PICTURE OPERATION WORD",
        help="pictures, what to do, with what",
    )
    edit_steps.add_step_flags(parser)
    group = parser.add_argument_group("what to find")
    add = group.add_argument
    add("--words", metavar='"W; W"', help="what else is in the picture: words that compete")
    options.add_competition_flags(group)
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--out", metavar="PATH", type=inputs.to_path, help="a file, or a folder (lexiseg-out)")
    add("--json", action="store_true", help="print one JSON document")
    add("--max-pixels", metavar="N", type=int, help="refuse larger pictures")
    add("-q", "--quiet", action="store_true", help="print errors only")
    options.add_model_flags(parser)
    return parser


def _question(words: list[str], args: argparse.Namespace) -> tuple[Vocabulary, Any]:
    """The words against their background, and the Config of the method that is to find them."""
    from lexiseg.prompts import Vocabulary

    config = options.build_config(args)
    background = options.background(args.background)
    vocabulary = Vocabulary.parse(
        words, **background, default_background=config.background, flat=config.flat
    )
    fields = options.thresholds(args.threshold, vocabulary.names)
    options.refuse_twice(args, fields)
    return vocabulary, replace(config, **fields)


def _read_files(
    selection: Selection, given: Sequence[argparse.Namespace], args: argparse.Namespace
) -> list[str]:
    """Every file that the run reads: it may write over none of them."""
    items = [item for one in given for item in one.items]
    files = [picture.path for picture in selection.pictures]
    files += edit_steps.with_files(given)
    return files + inputs.word_files([*items, args.words, args.background])


def _plan(
    selection: Selection,
    steps: Sequence[EditStep],
    args: argparse.Namespace,
    reads: Sequence[str],
) -> tuple[list[Job], EditPlaces]:
    """The file for each edited picture: `--out` where it names a picture, else one in its folder.

    Raises OutputError where nothing can be written, OptionError where several would be one.
    """
    from lexiseg import imaging
    from lexiseg.batch import outputs

    path = _OUT if args.out is None else args.out
    numbered = any(step.makes_several for step in steps)
    named = path.suffix.lower() in imaging.WRITABLE_SUFFIXES and not path.is_dir()
    if not named:
        outputs.check_folder(path, one_file=selection.single)
        places = EditPlaces(OutputFolder(path, reads), numbered=numbered)
        ending = edit_ending([step.operation for step in steps])
        return plan_edits(selection.pictures, places, [ending] * len(selection.pictures)), places
    if not selection.single:
        raise OptionError(
            f"--out {str(path)!r} is the name of one file, and there may be several pictures; "
            f"give a folder, such as {str(path.with_suffix(''))!r}"
        )
    outputs.check_folder(path.parent)
    places = EditPlaces(OutputFolder(path.parent, reads), numbered=numbered, of_any_picture=True)
    return [plan_named_edit(selection.pictures[0], path, places)], places


def _check_target(picture: Picture, job: Job, steps: Sequence[EditStep]) -> tuple[str, ...]:
    """What the file cannot hold; raises OutputError where it cannot hold the edit."""
    from lexiseg import imaging

    transparent = any(step.makes_transparent for step in steps)
    return imaging.check_target(picture, job.target, transparent=transparent)


def _with_networks(
    steps: Sequence[EditStep], args: argparse.Namespace, progress: Progress
) -> list[EditStep]:
    """The steps, the network of each loaded where it needs one."""
    computed = LoadOptions(args.device, args.dtype, bool(args.pull), args.offline or None)
    return [step.with_network(progress.step, computed) for step in steps]


def _summary(
    source: Path, seg: Segmentation, result: EditResult, files: list[Path], missing: list[str]
) -> str:
    height, width = seg.size_hw
    lines = [f"{on_one_line(str(source))}  {width} x {height}"]
    for step in result.steps:
        shares = ", ".join(f"{word} {100 * seg.share(word):.1f}%" for word in step.words)
        notes = "".join(f"; {note}" for note in step.notes)
        lines.append(f"  {step.operation}: {shares}{notes}")
    lines += [f"  not found: {', '.join(missing)}"] if missing else []
    lines += [f"  -> {on_one_line(str(path))}" for path in files]
    return "\n".join(lines) + "\n"
