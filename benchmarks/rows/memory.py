"""Memory and time of many masks on a huge photo, in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, output
from benchmarks.rows.common import markdown

ABOUT = "clip-then-sam: 300 clicks on a photo of 100 megapixels: masks, seconds, peak memory"
NEEDS = ()
SPEED = True
PHOTO = ROOT / "examples" / "photos" / "street.jpg"
SIZE_WH = (12_500, 8_000)
GRID_XY = (20, 15)


def run(options: Namespace) -> dict[str, Any]:
    """Enlarge a photo and click everywhere on it."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "huge.jpg"
        photo = Image.open(PHOTO).convert("RGB")
        photo.resize(SIZE_WH, Image.Resampling.BICUBIC).save(path, quality=90)
        job = {"photo": str(path), "grid_xy": GRID_XY, "device": options.device}
        command = [sys.executable, "-m", "benchmarks.memory_probe", json.dumps(job)]
        return {"size_wh": SIZE_WH, **json.loads(output(command).splitlines()[-1])}


def table(result: dict[str, Any]) -> str:
    """Return a line a number."""
    megapixels = result["size_wh"][0] * result["size_wh"][1] / 1e6
    lines = [
        ["photo", f"{megapixels:.0f} megapixels"],
        ["masks", str(result["masks"])],
        ["masks kept in memory", f"{result['masks_mb']:.0f} MB"],
        ["reading and encoding", f"{result['encode_s']:.1f} s"],
        ["300 clicks to masks", f"{result['masks_s']:.1f} s"],
        ["peak memory of the process", f"{result['peak_mb']:.0f} MB"],
    ]
    return f"{markdown(['what', 'measured'], lines)}\n\nThe photo itself takes 300 MB."
