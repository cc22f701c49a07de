"""Time and memory, each in a fresh process: warm and cold, small and large."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, output
from benchmarks.rows.common import markdown

ABOUT = "time and peak memory: a 640x480 photo and 20 words, 12 megapixels and 200 and 1,000 words"
NEEDS = ("wordnet",)
SPEED = True
PHOTO = ROOT / "examples" / "photos" / "street.jpg"
WORDS = (
    "person", "car", "road", "building", "sky", "tree", "bicycle", "bus", "dog", "cat", "sign",
    "fence", "pavement", "window", "door", "chair", "grass", "water", "boat", "bird",
)  # fmt: skip
SMALL_WH, LARGE_WH = (640, 480), (4000, 3000)


def run(options: Namespace) -> dict[str, Any]:
    """Measure; every number comes from processes of its own."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo = Image.open(PHOTO).convert("RGB")
        for label, size_wh in [("small", SMALL_WH), ("large", LARGE_WH)]:
            photo.resize(size_wh, Image.Resampling.LANCZOS).save(folder / f"{label}.png")
        small = _probe(options, folder / "small.png", WORDS, runs=20)
        large = _probe(options, folder / "large.png", many_words(200), runs=1)
        many = _probe(options, folder / "large.png", many_words(1000), runs=1)
        cold = [_command(options, folder, turn) for turn in range(3)]
    return {
        "small": {"size_wh": SMALL_WH, "words": len(WORDS), **small},
        "large": {"size_wh": LARGE_WH, "words": 200, **large},
        "many": {"size_wh": LARGE_WH, "words": 1000, **many},
        "command_s": round(statistics.median(cold), 2),
        "import_s": _import_time(),
    }


def table(result: dict[str, Any]) -> str:
    """Return a line a number."""
    lines = [["`import lexiseg`, without torch", f"{result['import_s']:.2f} s"]]
    for label in (name for name in ("small", "large", "many") if name in result):
        one = result[label]
        what = f"{one['size_wh'][0]}x{one['size_wh'][1]}, {one['words']} words"
        lines += [
            [f"{what}: first", f"{one['first_s']:.2f} s"],
            [f"{what}: warm, median of {one['runs']}", f"{1000 * one['warm_s']:.0f} ms"],
            [f"{what}: peak memory of the process", f"{one['peak_mb']:.0f} MB"],
        ]
    small = f"{result['small']['size_wh'][0]}x{result['small']['size_wh'][1]}"
    cold = f"`lexiseg segment`, {small}, {result['small']['words']} words, whole command"
    lines.append([cold, f"{result['command_s']:.2f} s"])
    note = (
        "Each line is a process of its own; files were in the system's cache; memory is resident."
    )
    return f"{markdown(['what', 'measured'], lines)}\n\n{note}"


def many_words(count: int) -> list[str]:
    """Return the most often tagged concrete nouns, one word each."""
    from benchmarks.vocabulary import CONCRETE, wordnet

    found = wordnet()
    words = [
        word
        for word, senses in found.senses.items()
        if word.isalpha() and word.isascii() and found.synsets[senses[0]].field in CONCRETE
    ]
    return sorted(words, key=lambda word: (-found.tags(word), word))[:count]


def _probe(options: Namespace, photo: Path, words: Any, *, runs: int) -> dict[str, Any]:
    """Segment in a fresh process; return seconds and peak memory."""
    job = {
        "method": options.method,
        "device": options.device,
        "photo": str(photo),
        "words": list(words),
        "runs": runs,
    }
    command = [sys.executable, "-m", "benchmarks.probe", json.dumps(job)]
    found: dict[str, Any] = json.loads(output(command).splitlines()[-1])
    return found


def _command(options: Namespace, folder: Path, turn: int) -> float:
    """Return the seconds of a whole command, from its start to its end."""
    command = [sys.executable, "-m", "lexiseg", "segment", str(folder / "small.png"), *WORDS]
    command += ["--out", str(folder / f"out{turn}"), "--method", options.method]
    command += ["--device", options.device] if options.device else []
    started = time.perf_counter()
    output(command)
    return time.perf_counter() - started


def _import_time() -> float:
    """Return the median seconds that `import lexiseg` takes, the interpreter's start aside."""
    code = (
        "import sys, time; t = time.perf_counter(); import lexiseg; t = time.perf_counter() - t; "
        "assert 'torch' not in sys.modules; print(t)"
    )
    command = [sys.executable, "-c", code]
    return round(statistics.median(float(output(command)) for _ in range(5)), 3)
