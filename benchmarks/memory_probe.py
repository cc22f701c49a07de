"""Click everywhere on one photo and print what it took, as JSON; `rows/memory.py` starts it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from benchmarks.machine import peak_mb


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Run the job: photo, grid_xy (clicks across and down), device."""
    import lexiseg

    segmenter = lexiseg.load("clip-then-sam", device=job["device"])
    started = time.perf_counter()
    view = segmenter.prepare(job["photo"], max_pixels=200_000_000, words=False)
    encoded = time.perf_counter()
    height, width = view.picture.size_hw
    across, down = job["grid_xy"]
    points = [
        ((i + 0.5) / across * width, (j + 0.5) / down * height)
        for j in range(down)
        for i in range(across)
    ]
    out = segmenter(view, points=points)
    done = time.perf_counter()
    return {
        "masks": len(out),
        "masks_mb": round(sum(bits.nbytes for bits in out.masks.packed) / 1e6, 1),
        "encode_s": round(encoded - started, 2),
        "masks_s": round(done - encoded, 2),
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
