"""`lexiseg segment --tile N`: pictures too big for memory, tile by tile."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lexiseg.cli import options
from lexiseg.cli.exports import complete_folder
from lexiseg.cli.terminal import Progress, on_one_line, table
from lexiseg.errors import DiskFull, LexisegError, MissingError, OptionError

if TYPE_CHECKING:
    import argparse

    from lexiseg.planning import Job, Selection
    from lexiseg.prompts import Vocabulary
    from lexiseg.tiled import TiledResult

__all__ = ["run_tiled"]

# Flags that need a whole picture, and what to do in their place.
_WHOLE = {
    "heatmap": "cut out the part that you want to see, and segment it without --tile",
    "cutout": "convert its maps: lexiseg convert FOLDER --to cutouts",
    "format": "convert its maps: lexiseg convert FOLDER --to FORMAT",
    "verbose": "--json tells all of it",
}
_CLICKS = "cut out the part around them, and segment it without --tile"
_SHOWN = 12  # words in the table of a picture


def run_tiled(
    selection: Selection, jobs: Sequence[Job], vocabulary: Vocabulary | None, task: Any
) -> int:
    """Segment pictures by tiles and return the exit code; task: the command's, with its flags."""
    args = task.args
    refused = [(f"--{name}", instead) for name, instead in _WHOLE.items() if getattr(args, name)]
    if task.clicks or refused:
        what, instead = ("points and boxes", _CLICKS) if task.clicks else refused[0]
        raise OptionError(f"--tile goes without {what}, which needs the whole picture; {instead}")
    if vocabulary is None:
        raise OptionError("--tile needs words, or --vocabulary @known; it does not choose them")
    from lexiseg.export.georeference import rasterio
    from lexiseg.tiled.tiles import plan_tiles

    plan_tiles((1, 1), args.tile)  # what can be refused is, before a model is loaded
    rasterio()
    segmenter = options.load_segmenter(args, task.config)
    done: list[dict[str, Any]] = []
    failed = [{"picture": one.path, "error": str(one)} for one in selection.failed]
    for problem in selection.failed:
        sys.stderr.write(f"lexiseg: {on_one_line(str(problem))}\n")
    for job in jobs:
        try:
            found = _segment(segmenter, job, vocabulary, task)
        except (MissingError, DiskFull):
            raise
        except LexisegError as error:
            if selection.single:
                raise
            failed.append({"picture": str(job.source), "error": str(error)})
            sys.stderr.write(f"lexiseg: {on_one_line(str(error))}\n")
            continue
        done.append({"picture": str(job.source), "folder": str(job.target), **found.to_json()})
        if not (args.json or args.quiet):
            sys.stdout.write(_described(job, found))
    if args.json:
        document = {"pictures": done, "failed": failed}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    return 1 if failed else 0


def _segment(segmenter: Any, job: Job, vocabulary: Vocabulary, task: Any) -> TiledResult:
    from lexiseg import imaging
    from lexiseg.export import save_overlay
    from lexiseg.planning import RESULT, picture_path
    from lexiseg.tiled import segment_tiled

    args: argparse.Namespace = task.args
    with Progress(quiet=args.quiet) as progress, complete_folder(job.target) as stage:

        def step(number: int, total: int) -> None:
            progress.step(number, total, on_one_line(str(job.source)))

        found = segment_tiled(
            segmenter, job.source, vocabulary, stage, tile=args.tile, only=task.shown,
            progress=step,
        )  # fmt: skip
        save_overlay(found.thumbnail, stage / "overview.png")
        content = found.to_json()
        home = picture_path(job.real, str(job.target.resolve()))
        content["image"] = {"file_name": job.source.name, "path": home, **content["image"]}
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        imaging.write_bytes(stage / RESULT, text.encode("utf-8", "backslashreplace"))
    return found


def _described(job: Job, found: TiledResult) -> str:
    height, width = found.size_hw
    seconds = sum(found.provenance.seconds.values())
    lines = f"{on_one_line(str(job.source))}  {width} x {height}, {found.num_tiles} tiles, "
    lines += f"{seconds:.0f} s\n"
    order = sorted(range(len(found.words)), key=lambda k: -found.pixels[k])
    order = [k for k in order if found.pixels[k]]
    counts = dict.fromkeys(found.words, 0)
    for one in found.instances:
        counts[one.word] += 1
    rows = [
        [found.words[k], f"{found.pixels[k] / (height * width):.1%}", f"{counts[found.words[k]]:,}"]
        for k in order[:_SHOWN]
    ]
    if rows:
        lines += table([["word", "share", "instances"], *rows], right=[1, 2])
    if len(order) > _SHOWN:
        lines += f"  and {len(order) - _SHOWN} more words\n"
    return f"{lines}  -> {on_one_line(str(job.target))}\n"
