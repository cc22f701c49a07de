"""`lexiseg batch` against a plain loop: rate, busy cores, memory, and what it costs a picture."""

from __future__ import annotations

import json
import random
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import ROOT, Unmeasurable, output
from benchmarks.rows.common import markdown

ABOUT = (
    "many pictures: `lexiseg batch` against a loop; memory; the cost of a picture beside its model"
)
NEEDS = ()
SPEED = True
PHOTOS = ROOT / "examples" / "photos"
SIDES = (320, 640)  # pixels, of a crop's longer side
TINY_WH = (32, 24)
ROUNDS = 3  # one, of a thousand pictures and more


def run(options: Namespace) -> dict[str, Any]:
    """Crop photos and work through them both ways, in turns, each in a process of its own."""
    if options.method != "tiny" or options.device not in (None, "cpu"):
        raise Unmeasurable("the loop and the batch are timed with tiny, on the CPU")
    count = options.limit or 2000
    turns_of = 1 if count >= 1000 else ROUNDS
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        _crops(here / "photos", count)
        _crops(here / "tiny", 5 * count, TINY_WH)
        turns: dict[str, list[dict[str, Any]]] = {}
        rounds = [(way, "photos", n) for n in range(turns_of) for way in ("naive", "batch")]
        rounds += [(way, "tiny", n) for n in range(turns_of) for way in ("plain", "overhead")]
        for way, folder, n in rounds:
            job = {"way": way, "folder": str(here / folder), "out": str(here / f"{way}-{n}")}
            command = [sys.executable, "-m", "benchmarks.batch_probe", json.dumps(job)]
            turns.setdefault(way, []).append(json.loads(output(command).splitlines()[-1]))
    return {"pictures": count, "tiny_pictures": 5 * count, "tiny_wh": TINY_WH, **turns}


def _crops(folder: Path, count: int, size_wh: tuple[int, int] | None = None) -> None:
    """Write crops of the example photos, the same every time."""
    from PIL import Image

    folder.mkdir()
    drawn = random.Random(0)
    photos = [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.jpg"))]
    for n in range(count):
        photo = photos[n % len(photos)]
        side = drawn.randrange(200, min(photo.size))
        x, y = drawn.randrange(photo.width - side + 1), drawn.randrange(photo.height - side + 1)
        longer = drawn.randrange(*SIDES)
        crop = photo.crop((x, y, x + side, y + side * 3 // 4))
        crop.resize(size_wh or (longer, longer * 3 // 4)).save(folder / f"{n:05}.jpg", quality=90)


def table(result: dict[str, Any]) -> str:
    """Return a line a number; of several turns the median."""

    def middle(way: str, key: str) -> float:
        return median(turn[key] for turn in result[way])

    ratio = median(
        batch["rate"] / naive["rate"]
        for naive, batch in zip(result["naive"], result["batch"], strict=True)
    )
    quarter, end = (middle("batch", f"memory_{when}_mb") for when in ("quarter", "end"))
    extra = middle("overhead", "cpu_ms") - middle("plain", "cpu_ms")
    lines = [
        ["pictures a second, a loop", f"{middle('naive', 'rate'):.1f}"],
        ["pictures a second, `lexiseg batch`", f"{middle('batch', 'rate'):.1f}"],
        ["times the loop's rate, in turns", f"{ratio:.2f}"],
        ["cores busy, a loop", f"{100 * middle('naive', 'busy'):.0f} %"],
        ["cores busy, `lexiseg batch`", f"{100 * middle('batch', 'busy'):.0f} %"],
        ["memory of all processes, after a quarter", f"{quarter:.0f} MB"],
        ["memory of all processes, at the end", f"{end:.0f} MB"],
        ["processor's time a tiny picture, beside read and write", f"{extra:.2f} ms"],
    ]
    count = f"{result['pictures']:,} crops of photos, {result['tiny_pictures']:,} tiny pictures"
    return f"{markdown(['what', 'measured'], lines)}\n\n{count}."
