"""`lexiseg bench`: time and memory on a picture, on this machine."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lexiseg.cli import inputs, options
from lexiseg.cli.terminal import Parser, table
from lexiseg.device import peak_device_memory, peak_memory
from lexiseg.errors import OptionError
from lexiseg.planning import select_pictures

if TYPE_CHECKING:
    from lexiseg.results import Segmentation

__all__ = ["run"]

_NOTES = """The first run warms up and is told apart; the others give medians. Peak memory is that
of the whole process, model included.
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        "bench",
        "Measure time and memory on a picture.",
        usage="lexiseg bench PICTURE WORD... [options]",
        epilog=_NOTES,
    )
    add = parser.add_argument
    add("items", nargs="*", metavar="PICTURE WORD", help="a picture, then words")
    add("--words", metavar='"W; W"', help="the words, instead of WORD...")
    add("--repeats", metavar="N", type=int, default=5, help="timed runs (%(default)s)")
    add("--background", metavar='"W; W"', help="as in lexiseg segment")
    add("--json", action="store_true", help="print one JSON document")
    options.add_model_flags(parser)
    args = parser.parse(argv)
    if args.repeats < 1:
        raise OptionError(f"--repeats is {args.repeats}; give at least 1")
    names, words = inputs.split(args.items, args.words)
    path = select_pictures(names[:1]).pictures[0].path
    from lexiseg import imaging
    from lexiseg.prompts import Vocabulary

    asked = Vocabulary.parse(words).names
    picture = imaging.read(path)
    started = time.perf_counter()
    segmenter = options.load_segmenter(args)
    loaded = time.perf_counter() - started
    ground = options.background(args.background)
    runs = [_timed(segmenter, picture, words, ground) for _ in range(1 + args.repeats)]
    facts = _facts(runs, loaded, path, asked)
    if args.json:
        sys.stdout.write(json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write(_report(facts))
    return 0


def _timed(
    segmenter: Any, picture: Any, words: Sequence[str], ground: dict[str, Any]
) -> tuple[float, Segmentation]:
    started = time.perf_counter()
    seg: Segmentation = segmenter(picture, words, **ground)
    return time.perf_counter() - started, seg


def _facts(
    runs: Sequence[tuple[float, Segmentation]], loaded: float, path: str, asked: Sequence[str]
) -> dict[str, Any]:
    """What was measured, as JSON values; seconds, and bytes for memory."""
    seconds = [wall for wall, _ in runs[1:]]
    seg = runs[-1][1]
    stages = {
        stage: statistics.median(result.provenance.seconds[stage] for _, result in runs[1:])
        for stage in seg.provenance.seconds
    }
    height, width = seg.size_hw
    return {
        "picture": path,
        "size_hw": [height, width],
        "words": list(asked),
        "load_seconds": round(loaded, 4),
        "first_seconds": round(runs[0][0], 4),
        "repeats": len(seconds),
        "median_seconds": round(statistics.median(seconds), 4),
        "fastest_seconds": round(min(seconds), 4),
        "slowest_seconds": round(max(seconds), 4),
        "stage_seconds": {stage: round(value, 4) for stage, value in stages.items()},
        "masks": len(seg),
        "words_found": len(seg.found),
        "peak_memory_bytes": peak_memory(),
        "peak_device_memory_bytes": peak_device_memory(),
        "provenance": {**seg.provenance.to_json(), "seconds": None},
    }


def _report(facts: dict[str, Any]) -> str:
    height, width = facts["size_hw"]
    made = facts["provenance"]
    rows = [[stage, _ms(value)] for stage, value in facts["stage_seconds"].items()]
    rows.append(["whole", _ms(facts["median_seconds"])])
    spread = f"{_ms(facts['fastest_seconds'])} to {_ms(facts['slowest_seconds'])}"
    lines = [
        f"{facts['picture']}  {width} x {height}, {len(facts['words'])} words",
        f"{made['method']} with {made['encoder']} on {made['device']}, {made['dtype']}",
        "",
        table(rows, right=(1,)).rstrip("\n"),
        "",
        f"  median of {facts['repeats']}, {spread}; the first run took "
        f"{_ms(facts['first_seconds'])}, loading {_ms(facts['load_seconds'])}",
        f"  {facts['masks']} masks of {facts['words_found']} words",
    ]
    for name in ("peak_memory_bytes", "peak_device_memory_bytes"):
        if facts[name] is not None:
            what = name.removesuffix("_bytes").replace("_", " ")
            lines.append(f"  {what} {facts[name] / 1e6:,.0f} MB")
    return "\n".join(lines) + "\n"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms"
