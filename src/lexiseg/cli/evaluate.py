"""`lexiseg evaluate`: measure a method on a data set with masks."""

from __future__ import annotations

import json
import sys
from typing import Any

from lexiseg.cli import options
from lexiseg.cli.inputs import to_path, words
from lexiseg.cli.terminal import Parser, Progress
from lexiseg.errors import OptionError

__all__ = ["run"]

_NOTES = """FOLDER holds dataset.json, SPLIT/images and SPLIT/masks. METHOD is a method, or, for
short, an encoder, as in `lexiseg evaluate tiny --data FOLDER`.
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("evaluate", "Measure a method on a data set with masks.", epilog=_NOTES)
    add = parser.add_argument
    add("method", metavar="METHOD", help="see `lexiseg methods`")
    add("--data", metavar="FOLDER", type=to_path, required=True, help="the data set")
    add("--split", help="the part of it")
    add("--out", metavar="DIR", type=to_path, help="write results.json and summary.txt there")
    add("--limit", metavar="N", type=int, help="only the first N photos")
    add("--extra-words", metavar='"W; W"', help="more words that compete")
    add("--shuffle", metavar="SEED", type=int, help="ask the words in a random order")
    add("--background", metavar='"W; W"', help="as in lexiseg segment")
    add("--json", action="store_true", help="print one JSON document")
    options.add_model_flags(parser, method=False)
    args = parser.parse(argv)
    if not args.data.is_dir():
        raise OptionError(f"--data {str(args.data)!r} is not a folder; give one with dataset.json")
    if args.out is not None:
        from lexiseg.cli.outputs import check_folder

        check_folder(args.out)
    from lexiseg.evaluation import evaluate

    given: dict[str, Any] = {
        name: getattr(args, name)
        for name in ("split", "out", "limit", "shuffle")
        if getattr(args, name) is not None
    }
    given |= options.background(args.background)
    if args.extra_words is not None:
        given["extra_words"] = words([args.extra_words])
    segmenter = options.load_segmenter(args)
    progress = Progress()
    with progress:
        found = evaluate(segmenter, args.data, progress=progress.step, **given)
    if args.json:
        sys.stdout.write(json.dumps(found.to_json(), ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write(found.summary().rstrip("\n") + "\n")
    return 0
