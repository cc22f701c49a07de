"""Edits of a photo of 12 megapixels: time and memory, beside OpenCV's own blur and inpainting.

Each number comes from a process of its own, on one thread. An edit alone works on a given outline
of an eighth of the photo; a whole command finds a dog by its word too, reads a JPEG file and writes
a PNG file. With `--base` the edits alone are measured by an earlier checkout, too.
"""

from __future__ import annotations

import json
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, checkout, output
from benchmarks.rows.common import markdown

ABOUT = "edits of a photo of 12 megapixels: time and peak memory, beside OpenCV's own"
NEEDS = ()
SPEED = True
PHOTO = ROOT / "examples" / "photos" / "pets.jpg"
SIZE_WH = (4000, 3000)
COMMANDS = {
    "blur": ["blur", "dog"],
    "background blur": ["background", "dog", "--with", "blur"],
    "cut-out": ["cutout", "dog"],
    "remove": ["remove", "dog"],
}
WORDS = "grass; fence"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def run(options: Namespace) -> dict[str, Any]:
    """Enlarge a photo and edit it in every way; the edits alone by an earlier checkout, too."""
    if options.base is None:
        return _measure(options, None)
    with checkout(options.base) as base:
        return _measure(options, base)


def _measure(options: Namespace, base: Path | None) -> dict[str, Any]:
    from PIL import Image

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "photo.jpg"
        photo = Image.open(PHOTO).convert("RGB")
        photo.resize(SIZE_WH, Image.Resampling.LANCZOS).save(path, quality=95)
        edits: dict[str, dict[str, Any]] = {}
        for task, words in COMMANDS.items():
            alone = {"photo": str(path), "task": task}
            edits[task] = {"alone": probe(alone)}
            if base is not None:
                edits[task]["base"] = probe(alone, base)
            if task != "cut-out":  # OpenCV has none
                edits[task]["opencv"] = probe({"photo": str(path), "task": f"{task}, OpenCV"})
            edits[task]["command"] = probe({"argv": _command(path, words, options)})
    result: dict[str, Any] = {"size_wh": SIZE_WH, "edits": edits}
    if base is not None:
        result["base"] = output(["git", "-C", str(base), "rev-parse", "HEAD"])
    return result


def table(result: dict[str, Any]) -> str:
    """Return a line an edit."""
    megapixels = result["size_wh"][0] * result["size_wh"][1] / 1e6
    columns = {"alone": "the edit alone", "base": "before", "opencv": "OpenCV's own"}
    columns["command"] = "the whole command"
    shown = [c for c in columns if any(c in one for one in result["edits"].values())]
    head = [f"{megapixels:.0f} megapixels"]
    for column in shown:
        head += [columns[column], "peak memory"]
    lines = []
    for task, one in result["edits"].items():
        line = [task]
        for column in shown:
            found = one.get(column)
            line += ["-", "-"] if found is None else [
                f"{found['seconds']:.2f} s", f"{found['peak_mb']} MB",
            ]  # fmt: skip
        lines.append(line)
    note = (
        "Seconds of the processor, on one thread. Of OpenCV: `GaussianBlur` as wide, and `inpaint` "
        "(Telea) of the same hole, without soft borders and without texture. Memory is that of the "
        "whole process."
    )
    if "base" in result:
        note += f" Before: commit {result['base'][:7]}."
    return f"{markdown(head, lines)}\n\n{note}"


def probe(job: dict[str, Any], checkout: Path = ROOT) -> dict[str, Any]:
    """What one process took, with the lexiseg of a checkout."""
    command = [sys.executable, "-m", "benchmarks.edit_probe", json.dumps(job)]
    found = output(command, _ONE_THREAD | {"PYTHONPATH": str(checkout.resolve() / "src")})
    measured: dict[str, Any] = json.loads(found.splitlines()[-1])
    return measured


def _command(photo: Path, words: list[str], options: Namespace) -> list[str]:
    """A whole command, from its start to its end."""
    argv = ["edit", str(photo), *words, "--words", WORDS, "--out", str(photo.parent / "out.png")]
    return [*argv, "--quiet", *(["--device", options.device] if options.device else [])]
