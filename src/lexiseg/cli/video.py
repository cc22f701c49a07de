"""`lexiseg video`: find words in a video, and follow what was found."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from lexiseg.cli import inputs, options
from lexiseg.cli.terminal import Parser, Progress, on_one_line
from lexiseg.errors import OptionError, PictureError, PromptError
from lexiseg.prompts.written import to_path
from lexiseg.protocols import LoadOptions

if TYPE_CHECKING:
    from lexiseg.video import VideoSummary

__all__ = ["run"]

_USAGE = """lexiseg video VIDEO [WORD...] [options]"""
_NOTES = """examples:
  lexiseg video clip.mp4 dog ball
  lexiseg video clip.mp4 "person; car" --every 5 --out tracked
  lexiseg video clip.mp4 --point 320,200@45
  lexiseg video clip.mp4 face --operation "pixelate face"

Words are looked for in key frames (--every, and where the scene changes); in between, objects are
followed and keep their identity. --out gets overlay.mp4 (with the sound), masks/, frames.jsonl,
tracks.json (YouTube-VIS), mot.txt (MOT Challenge) and result.json, when all is done; a run that was
ended goes on by the same command.

exit codes: 0 done, 2 bad input, 3 nothing found, 4 weights or an extra are missing, 130 interrupted
"""
_POINT = re.compile(r"\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*(?:@\s*(\d+))?\s*")


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    from lexiseg.edit.steps import competing_words, read_steps
    from lexiseg.video.tracking import TrackOptions

    args = _parser().parse(argv)
    if not args.items:
        raise PictureError("no video is given: lexiseg video VIDEO WORD...")
    name, *texts = args.items
    points = _points(args.point)
    words: list[str] | None = inputs.words([*texts, *([args.words] if args.words else [])]) or None
    steps = [] if args.operation is None else read_steps(args.operation, {}, words or ())
    for step in steps:
        if step.makes_several or step.operation in ("cutout", "mask"):
            raise OptionError(f"{step.operation} makes no video; use blur, pixelate, recolour, ...")
    if steps:
        words = competing_words(steps, words or ())
    if words is None and not points:
        raise PromptError("nothing to follow: give words, or --point X,Y@FRAME")
    track = TrackOptions(
        **{
            one.name: value
            for one in fields(TrackOptions)
            if (value := getattr(args, one.name)) is not None
        }
    )
    config = options.build_config(args)
    from lexiseg.models import load_tracker
    from lexiseg.video.reader import VideoReader
    from lexiseg.video.run import run_video

    path = to_path(name)
    VideoReader(path).close()  # what is no video is told before a model is loaded
    load = LoadOptions(args.device, args.dtype, bool(args.pull), args.offline or None)
    with Progress(quiet=args.quiet) as progress:
        segmenter = options.load_segmenter(args, config)
        summary = run_video(
            path,
            words,
            args.out,
            segmenter=segmenter,
            tracker=load_tracker(args.tracker or "tiny", load),
            points=points,
            options=track,
            anew=args.anew,
            steps=[step.with_network(progress.step, load) for step in steps],
            progress=progress.step,
        )
    if summary.resumed_at:
        sys.stderr.write(f"lexiseg: went on at frame {summary.resumed_at:,}, where a run ended\n")
    for note in summary.notes:
        sys.stderr.write(f"lexiseg: {on_one_line(name)}: {on_one_line(note)}\n")
    if args.json:
        sys.stdout.write(json.dumps(summary.to_json(), ensure_ascii=False, indent=1) + "\n")
    elif not args.quiet:
        sys.stdout.write(_text(name, summary, str(args.out)))
    return 0


def _parser() -> Parser:
    parser = Parser("video", "Find words in a video, and follow them.", usage=_USAGE, epilog=_NOTES)
    parser.add_argument("items", nargs="*", metavar="VIDEO WORD", help="a video, then words")
    group = parser.add_argument_group("what to follow")
    add = group.add_argument
    add("--words", metavar='"W; W"', help="words, instead of WORD...")
    add("--point", metavar="X,Y@FRAME", action="append", default=[], help="follow what is there")
    add("--every", metavar="N", type=int, help="look for words in every N-th frame (10); 0: once")
    add("--max-objects", metavar="N", type=int, help="followed at the same time (32)")
    add("--min-score", metavar="SCORE", type=float, help="that an object must have, 0 to 1")
    add("--min-iou", metavar="IOU", type=float, help="with which an instance is a known object")
    add("--min-likeness", metavar="COSINE", type=float, help="at which a lost one has come back")
    add("--patience", metavar="N", type=int, help="frames after which a lost one is given up")
    add("--tracker", metavar="NAME", help="what follows objects: tiny, or a video model's name")
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--out", metavar="DIR", type=to_path, default="lexiseg-video", help="(%(default)s)")
    add("--anew", action="store_true", help="begin anew where a run was ended")
    add("--operation", metavar="EDIT", help='edited.mp4 too: "blur face", "background person"')
    add("--json", action="store_true", help="print one JSON document")
    add("-q", "--quiet", action="store_true", help="print errors only")
    options.add_model_flags(parser)
    return parser


def _points(texts: list[str]) -> dict[int, list[tuple[float, float]]]:
    """Return frame -> points of "X,Y@FRAME"; without a frame it is the first."""
    out: dict[int, list[tuple[float, float]]] = {}
    for text in texts:
        match = _POINT.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            place = (float(match[1]), float(match[2]))
        except ValueError:
            raise PromptError(f"--point takes X,Y@FRAME, as in 320,200@45; got {text!r}") from None
        out.setdefault(int(match[3] or 0), []).append(place)
    return out


def _text(name: str, summary: VideoSummary, out: Any) -> str:
    height, width = summary.size_hw
    lines = [f"{on_one_line(name)}  {width} x {height}, {summary.frames:,} frames"]
    for one, about in summary.objects.items():
        lines.append(
            f"  {one:4}  {about['word']}: frames {about['first']} to {about['last']}, "
            f"seen in {about['seen']}"
        )
    return "\n".join([*lines, f"  -> {on_one_line(out)}"]) + "\n"
