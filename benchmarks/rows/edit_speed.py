"""Edits of a photo of 12 megapixels: time and memory, beside OpenCV's own blur and inpainting.

Each number comes from a process of its own. An edit alone works on a given outline of an eighth of
the photo; a whole command finds a dog by its word too, reads a JPEG file and writes a PNG file.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, output
from benchmarks.rows.common import markdown

ABOUT = "edits of a photo of 12 megapixels: time and peak memory, beside OpenCV's own"
NEEDS_DATA = False
PHOTO = ROOT / "examples" / "photos" / "pets.jpg"
SIZE_WH = (4000, 3000)
COMMANDS = {
    "blur": ["blur", "dog"],
    "background blur": ["background", "dog", "--with", "blur"],
    "cut-out": ["cutout", "dog"],
    "remove": ["remove", "dog"],
}
WORDS = "grass; fence"


def run(options: Namespace) -> dict[str, Any]:
    """Enlarge a photo and edit it in every way."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "photo.jpg"
        photo = Image.open(PHOTO).convert("RGB")
        photo.resize(SIZE_WH, Image.Resampling.LANCZOS).save(path, quality=95)
        edits = {}
        for task, words in COMMANDS.items():
            edits[task] = {"alone": _probe({"photo": str(path), "task": task})}
            if task != "cut-out":  # OpenCV has none
                edits[task]["opencv"] = _probe({"photo": str(path), "task": f"{task}, OpenCV"})
            edits[task]["command"] = _command(path, words, options)
    return {"size_wh": SIZE_WH, "edits": edits}


def table(result: dict[str, Any]) -> str:
    """Return a line an edit."""
    megapixels = result["size_wh"][0] * result["size_wh"][1] / 1e6
    head = [
        f"{megapixels:.0f} megapixels",
        "the edit alone",
        "its peak memory",
        "OpenCV's own",
        "the whole command",
        "its peak memory",
    ]
    lines = []
    for task, one in result["edits"].items():
        opencv = one.get("opencv")
        lines.append(
            [
                task,
                f"{one['alone']['seconds']:.2f} s",
                f"{one['alone']['peak_mb']:.0f} MB",
                "-" if opencv is None else f"{opencv['seconds']:.2f} s",
                f"{one['command']['seconds']:.1f} s",
                f"{one['command']['peak_mb']:.0f} MB",
            ]
        )
    note = (
        "Of OpenCV: `GaussianBlur` as wide, and `inpaint` (Telea) of the same hole, without soft "
        "borders and without texture. Memory is that of the whole process."
    )
    return f"{markdown(head, lines)}\n\n{note}"


def _probe(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.edit_probe", json.dumps(job)]
    measured: dict[str, Any] = json.loads(output(command).splitlines()[-1])
    return measured


def _command(photo: Path, words: list[str], options: Namespace) -> dict[str, Any]:
    """A whole command, from its start to its end."""
    argv = ["edit", str(photo), *words, "--words", WORDS, "--out", str(photo.parent / "out.png")]
    argv += ["--quiet", *(["--device", options.device] if options.device else [])]
    started = time.perf_counter()
    measured = _probe({"argv": argv})
    return {"seconds": round(time.perf_counter() - started, 2), **measured}
