"""`lexiseg segment`: find words in pictures."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexiseg.cli import inputs, options, prompt_flags
from lexiseg.cli.modes import add_mode_flags, mode_fields
from lexiseg.cli.picture_run import PictureRun
from lexiseg.cli.terminal import Parser, Progress, on_one_line
from lexiseg.errors import NothingFound
from lexiseg.planning import Job, OutputFolder, Selection, plan_folders, select_pictures
from lexiseg.prompts.written import example_files, read_prompts

if TYPE_CHECKING:
    from lexiseg.imaging import Picture
    from lexiseg.prompts import Clicks, Vocabulary
    from lexiseg.results import Segmentation

__all__ = ["run"]

_USAGE = """lexiseg segment PICTURE [WORD...] [options]
       lexiseg segment --words "WORD; WORD" PICTURE... [options]"""
_NOTES = """examples:
  lexiseg segment photo.jpg
  lexiseg segment photo.jpg sky tree "red car"
  lexiseg segment --words "sky; sofa|couch; person -helmet" *.jpg --out results
  lexiseg segment photo.jpg dog --threshold 0.3 --cutout
  lexiseg segment --words "dog; cat" photos --format coco --format yolo
  lexiseg segment --vocabulary @ade20k *.jpg
  lexiseg segment orthophoto.tif road tree --tile 1024
  lexiseg segment photo.jpg --point 320,200 --box 10,20,300,400
  lexiseg segment photo.jpg --like mug=example.jpg:40,60,200,180

Without words, those are named that the model knows and finds (--vocabulary auto).
Words are a list by commas, semicolons or line breaks; quotes keep a comma. A word may have synonyms
("sofa|couch") and exclude things ("person -helmet"); @words.txt is a file of words; @voc20, @voc21,
@context59, @context60, @coco-object, @coco-stuff164k, @cityscapes, @ade20k are all words of a data
set. A PICTURE may be a folder or a pattern. Each picture gets a folder under --out: overlay.png,
labels.png, result.json, masks/WORD.png.

exit codes: 0 done, 1 some pictures failed, 2 bad input, 3 nothing matched, 4 weights or an extra
are missing, 130 interrupted
"""


@dataclass(frozen=True)
class _Task:
    """What to do: the pictures and their places, the words, those to write, the other flags."""

    selection: Selection
    jobs: list[Job]
    vocabulary: Vocabulary | None
    automatic: str | None  # "@auto": the words are those that each picture shows
    shown: tuple[str, ...]  # () for all words of a result
    segmenter: Any  # where the words are the model's, so that it is loaded first
    config: Any
    clicks: Clicks
    args: argparse.Namespace


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    task = _task(_parser().parse(argv))
    # All that can be refused is, before a model is loaded: that takes seconds.
    from lexiseg.batch import outputs
    from lexiseg.cli import report
    from lexiseg.cli.exports import Exports
    from lexiseg.visualize.shaping import missing_scripts

    outputs.check_folder(task.args.out)
    if task.args.tile is not None:
        from lexiseg.cli.tiled import run_tiled

        return run_tiled(task.selection, task.jobs, task.vocabulary, task)
    exports = Exports(task.args.format or (), task.args.out, task.jobs, task.shown)
    pictures = PictureRun(task.selection, task.jobs, task.args)
    if pictures.single is not None:
        task.clicks.clipped(pictures.single.size_hw)  # raises where they do not fit
    if (remark := missing_scripts(task.shown)) is not None:
        pictures.say(remark)
    nearest = report.Nearest(task.shown)

    def work(job: Job, picture: Picture) -> tuple[dict[str, Any], str]:
        seg, result = _segment(segmenter, picture, job, task)
        nearest.add(seg)
        words = task.shown or seg.words
        text = report.describe(on_one_line(str(job.source)), seg, words, job.target)
        text += report.stages(seg) if task.args.verbose else ""
        exports.add(job, seg)
        return {"folder": str(job.target), **result}, text

    if task.jobs:
        segmenter = task.segmenter or options.load_segmenter(task.args, task.config)
        outputs.check_method(segmenter, task.clicks)
    with Progress(quiet=task.args.quiet) as progress, exports:
        pictures.work_through(work, progress)
    exports.tell(quiet=task.args.quiet or task.args.json)
    if pictures.finish():
        return 1
    if not nearest.found:
        raise NothingFound(nearest.nothing_found())
    return 0


def _parser() -> Parser:
    parser = Parser("segment", "Find words in pictures.", usage=_USAGE, epilog=_NOTES)
    add = parser.add_argument
    add("items", nargs="*", metavar="PICTURE WORD", help="a picture, then words; or pictures")
    group = parser.add_argument_group("what to find")
    add = group.add_argument
    add("--words", metavar='"W; W"', help="the words, for several pictures")
    add(
        "--vocabulary",
        metavar="LIST",
        help="the words: a file; @ade20k and other data sets; @known, all that the model knows; "
        "auto, those of them that each picture shows",
    )
    options.add_competition_flags(group)
    options.add_flat_flag(group)
    add(
        "--instances",
        metavar="WAY",
        help="masks (touching things come apart), parts (connected ones), off (label map alone)",
    )
    add(
        "--only",
        metavar="WORD",
        action="append",
        help="all words compete, only these are written; may be repeated",
    )
    prompt_flags.add_like_flag(parser)
    prompt_flags.add_click_flags(parser)
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--out", metavar="DIR", type=inputs.to_path, default="lexiseg-out", help="(%(default)s)")
    add("--json", action="store_true", help="print one JSON document instead of tables")
    add("--heatmap", action="store_true", help="write a heat map a word")
    add("--cutout", action="store_true", help="write a transparent cut-out a word")
    add(
        "--format",
        metavar="NAME",
        action="append",
        help="annotations of all pictures, too, in OUT/NAME-export; see `convert --list`",
    )
    add("--max-pixels", metavar="N", type=int, help="refuse larger pictures")
    add(
        "--tile",
        metavar="N",
        type=int,
        help="read, segment and write by tiles of N x N pixels (1024), whatever the size",
    )
    add("-v", "--verbose", action="store_true", help="draw and tell what the method looked at")
    add("-q", "--quiet", action="store_true", help="print errors only")
    options.add_model_flags(parser)
    add_mode_flags(parser)
    return parser


def _chosen(args: argparse.Namespace) -> bool:
    """Whether flags choose a method, or belong to one."""
    flags = ("method", "encoder", "masker", "masker_checkpoint", "preset", "settings", "instances")
    return any(getattr(args, flag) for flag in flags) or bool(mode_fields(args))


def _task(args: argparse.Namespace) -> _Task:
    """Check everything that the command line says; raises InputError."""
    from lexiseg.batch import outputs
    from lexiseg.prompts import Vocabulary

    clicks = prompt_flags.read_clicks(args)
    automatic, asked_words = inputs.read_vocabulary(args.vocabulary, args.words)
    if automatic is None:
        wordless = bool(clicks.names or args.like or not args.not_point)
        names, texts = inputs.split(args.items, asked_words, wordless=wordless)
        words = read_prompts(texts, args.like)
        if args.like and not texts and not clicks and not _chosen(args):
            args.method = options.FOR_EXAMPLES
    else:
        names, words = args.items, []
    if args.method is None and (clicks or args.masker or args.masker_checkpoint):
        args.method = options.WITH_MASKS
    given = {"flat": True} if args.flat else {}
    if args.instances is not None:
        given["instances"] = args.instances
    config = options.build_config(args, **given)
    vocabulary = None
    if words:
        background = options.background(args.background)
        vocabulary = Vocabulary.parse(
            words, **background, default_background=config.background, flat=config.flat
        )
    selection = select_pictures(names)
    segmenter: Any = None
    known = vocabulary
    if not words and (automatic or not clicks.names):
        automatic = automatic or "@auto"
        segmenter = options.load_segmenter(args, prompt_flags.with_fields(config, args, ()))
        known = segmenter.vocabulary("@known", **options.background(args.background))
        vocabulary = known if automatic == "@known" else None
    asked = clicks.names if vocabulary is None else vocabulary.names
    only = [options.asked_word(word, asked) for word in inputs.words(args.only or ())]
    reads = [picture.path for picture in selection.pictures]
    reads += example_files(args.like)
    reads += inputs.word_files([*args.items, args.words, asked_words, args.background])
    out = OutputFolder(args.out, reads)
    possible = outputs.possible_names(asked if known is None else known.names)
    return _Task(
        selection=selection,
        jobs=plan_folders(selection.pictures, out, possible),
        vocabulary=vocabulary,
        automatic=automatic if vocabulary is None else None,
        segmenter=segmenter,
        shown=tuple(w for w in asked if not only or w in only),
        config=prompt_flags.with_fields(config, args, asked),
        clicks=clicks,
        args=args,
    )


def _segment(
    segmenter: Any, picture: Picture, job: Job, task: _Task
) -> tuple[Segmentation, dict[str, Any]]:
    """Segment a picture and write its files; return the result and what its JSON says."""
    from lexiseg import visualize
    from lexiseg.batch import outputs

    debug_overlay = None
    words = task.vocabulary or task.automatic
    background = options.background(task.args.background)
    seg, view = outputs.segment_picture(segmenter, picture, words, background, task.clicks)
    prompts = seg.provenance.prompts
    kinds = [*outputs.KINDS[:3]]
    kinds += ["cutouts"] * task.args.cutout + ["heatmaps"] * task.args.heatmap
    if task.args.verbose:
        debug_overlay = visualize.debug_overlay(
            seg,
            picture,
            boxes_xyxy=None if view is None else view.windows_xyxy,
            points_xy=prompts.points_xy if prompts else None,
        )
    result = outputs.write_results(
        job,
        picture,
        seg,
        task.shown or seg.words,
        kinds=kinds,
        debug_overlay=debug_overlay,
        everything=None if view is None else segmenter.all_masks(view),
    )
    return seg, result
