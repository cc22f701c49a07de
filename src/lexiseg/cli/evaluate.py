"""`lexiseg evaluate`: measure a method on data sets with masks."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg.cli import options
from lexiseg.cli.evaluate_kinds import add_kind_flags, chosen_kind, run_kind
from lexiseg.cli.inputs import to_path, words
from lexiseg.cli.modes import add_mode_flags, kind_thresholds
from lexiseg.cli.terminal import Parser, Progress
from lexiseg.errors import OptionError

if TYPE_CHECKING:
    from lexiseg.datasets import SemanticDataset
    from lexiseg.evaluation import Evaluation

__all__ = ["duration", "parse", "run"]

_NOTES = """SET is a published data set by its name (`lexiseg datasets list`), which lies in or
below --root; or a folder: of a published set, of dataset.json with SPLIT/images and SPLIT/masks, or
of several such.
METHOD is a method, or, for short, an encoder, as in `lexiseg evaluate tiny --data mine`.

examples:
  lexiseg evaluate tiny --data mine --limit 10 --save-vis --out report
  lexiseg evaluate dense --data voc21 --root VOCdevkit --vocabulary sclip --limit 10
  lexiseg evaluate dense --data mine --use-sam --out report --resume
  lexiseg evaluate clipseg --data phrasecut --root VGPhraseCut_v0
  lexiseg evaluate clip-then-sam --data pascal5i --root VOCdevkit --shots 1
  lexiseg evaluate clipseg --data mine --episodes hsnet --limit 100
  lexiseg evaluate dense --data mine --model ViT-B/16 --slide-inference --logit-scale 40
  lexiseg compare report other-report
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    args = parse(argv)
    if args.out is None and (args.resume or args.save_vis or args.predictions):
        names = [Path(data).resolve().name for data in args.data]
        args.out = Path("-".join(["report", args.method, *names]))
    command = shlex.join(["lexiseg", "evaluate", *(one for one in argv if one != "--resume")])
    opened = _open(args)
    others = chosen_kind(args, opened)
    try:
        return run_kind(args, others, command) if others else _run_sets(args, opened, command)
    except KeyboardInterrupt:
        if args.out is not None:
            sys.stderr.write("lexiseg: the same command with --resume goes on from here\n")
        raise


def _run_sets(args: argparse.Namespace, opened: Sequence[Any], command: str) -> int:
    """Measure sets with class masks, write and print; return the exit code."""
    sets = _with_class_masks(args, opened)
    from lexiseg.evaluation.run import output_folder

    with output_folder(args.out):  # a run that fails leaves no empty one behind
        found = _evaluate(args, sets, command)
        several = len(found) > 1
        if several and args.out is not None:
            _write_overview(args.out, found, command)
    if args.json:
        document = _overview(found) if several else found[0].document(command)
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        return 0
    sys.stdout.write("\n\n".join(one.summary().rstrip("\n") for one in found) + "\n")
    if several:
        from lexiseg.evaluation.several import overview

        sys.stdout.write(f"\n\n{overview(found)}")
    if args.out is not None:
        sys.stdout.write(f"\nwritten to {args.out}\n")
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    """Return what the command understands of its arguments; raises OptionError."""
    return _parser().parse(argv)


def _parser() -> Parser:
    parser = Parser("evaluate", "Measure a method on data sets with masks.", epilog=_NOTES)
    add = parser.add_argument
    add("method", metavar="METHOD", help="see `lexiseg methods`")
    add(
        "--data", metavar="SET", action="append", required=True,
        help="a data set, or a folder of several; may be repeated",
    )  # fmt: skip
    add("--root", metavar="DIR", type=to_path, help="where published data sets lie")
    add("--split", help="the part of it")
    add("--vocabulary", metavar="NAME", help="ask the classes as papers do: sclip, voc21.trident")
    add(
        "--out",
        metavar="DIR",
        type=to_path,
        help="write results there, see docs/how_to/evaluate; with --save-vis, --predictions and "
        "--resume: report-METHOD-SET if left out",
    )
    add("--limit", metavar="N", type=int, help="only N photos of each set")
    add("--shuffle-seed", metavar="SEED", type=int, help="take the photos in a random order")
    add("--jobs", metavar="N", type=int, help="processes that work at the same time")
    add("--resume", action="store_true", help="go on with a run that was ended, in --out")
    add(
        "--save-vis", action="store_true", help="draw photo, truth, answer and errors of each photo"
    )
    add("--predictions", action="store_true", help="write the label map of each photo")
    add("--extra-words", metavar='"W; W"', help="more words that compete")
    add("--shuffle-words", metavar="SEED", type=int, help="ask the words in a random order")
    add("--background", metavar='"W; W"', help="as in lexiseg segment")
    add("--json", action="store_true", help="print one JSON document")
    options.add_model_flags(parser, method=False)
    add_mode_flags(parser)
    add_kind_flags(parser)
    return parser


def _open(args: argparse.Namespace) -> Sequence[Any]:
    """Open all sets, before a model is loaded: that takes seconds."""
    from lexiseg.datasets import open_datasets, open_instances

    opened: list[Any] = []
    for data in args.data:
        place = Path(data) if args.root is None else args.root / data
        plain = open_instances(place, args.split or "val") if args.instances else None
        opened += open_datasets(data, args.split, root=args.root) if plain is None else [plain]
    return opened


def _with_class_masks(args: argparse.Namespace, opened: Sequence[Any]) -> Sequence[SemanticDataset]:
    """The sets' class masks; those of instances are drawn, small over large."""
    from lexiseg.datasets import InstanceDataset

    sets = [one.semantic() if isinstance(one, InstanceDataset) else one for one in opened]
    names = [one.name for one in sets]
    for name in names:
        if args.out is not None and names.count(name) > 1:
            raise OptionError(
                f"two of the data sets are named {name!r}, and each gets a folder of its name; "
                "measure one after the other"
            )
    return sets


def _evaluate(
    args: argparse.Namespace, sets: Sequence[SemanticDataset], command: str
) -> list[Evaluation]:
    from lexiseg.evaluation import evaluate

    names = ("limit", "shuffle_seed", "shuffle_words", "jobs")
    given: dict[str, Any] = {n: getattr(args, n) for n in names if getattr(args, n) is not None}
    given |= {n: getattr(args, n) for n in ("resume", "save_vis", "predictions")}
    given |= options.background(args.background)
    if args.extra_words is not None:
        given["extra_words"] = words([args.extra_words])
    plain = options.build_config(args)
    if getattr(plain, "instances", "off") != "off":  # label maps are what is compared
        plain = replace(plain, instances="off")
    segmenter, config = None, None
    found = []
    with Progress() as progress:
        for data in sets:
            asked = list(data.classes)
            if args.vocabulary is not None:
                given |= _vocabulary(data, args)
                asked = [word.partition("|")[0] for word in given["words"]]
            if data.background_index is not None:
                asked[data.background_index] = "background"
            by_kind = kind_thresholds(args, asked)
            wanted = replace(plain, word_thresholds=by_kind) if by_kind else plain
            if segmenter is None or wanted != config:
                segmenter, config = options.load_segmenter(args, wanted), wanted
            out: Path | None = args.out
            if out is not None and len(sets) > 1:
                out = out / data.name
            pace = _Pace(progress, data.name)
            found.append(
                evaluate(segmenter, data, out=out, command=command, progress=pace, **given)
            )
    return found


def _vocabulary(data: SemanticDataset, args: argparse.Namespace) -> dict[str, Any]:
    """The words of a paper for a set's classes and, unless others are given, its background."""
    from lexiseg.datasets import paper_words

    asked, background = paper_words(data, args.vocabulary)
    if args.background is not None or background is None:
        return {"words": asked}
    return {"words": asked, "background": background}


class _Pace:
    """Shows how many photos of a set are done, how fast, and how long the others will take.

    From the first one on: it waited for models, and of a run that goes on it stands for all that
    were done before.
    """

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name
        self._first: tuple[int, float] | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        first, started = self._first or (done, now)
        self._first = first, started
        text = self._name
        if done > first and now > started:
            each = (now - started) / (done - first)
            text += f"  {_rate(1 / each)}, {duration((total - done) * each)} left"
        self._progress.step(done, total, text)


def _rate(rate: float) -> str:
    """Return a number of photos a second in words."""
    return f"{rate:.1f} photos/s" if rate >= 1 else f"{1 / rate:.1f} s a photo"


def duration(seconds: float) -> str:
    """Return a time in words, to the next larger unit that says enough."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


def _overview(found: Sequence[Evaluation]) -> dict[str, Any]:
    from lexiseg.evaluation.several import overview_json

    return overview_json(found)


def _write_overview(out: Path, found: Sequence[Evaluation], command: str) -> None:
    from lexiseg import imaging
    from lexiseg.evaluation.several import overview

    document = {**_overview(found), "command": command}
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    imaging.write_text(out / "results.json", text)
    imaging.write_text(out / "summary.txt", overview(found))
