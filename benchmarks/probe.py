"""Segment one photo in this process and print what it took, as JSON; `rows/speed.py` starts it."""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

from benchmarks.machine import peak_mb


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Run the job: method, device, photo, words, runs (warm ones, after the first)."""
    import lexiseg
    from lexiseg import imaging

    started = time.perf_counter()
    segmenter = lexiseg.load(job["method"], device=job["device"])
    rgb = imaging.read(job["photo"]).rgb
    segmenter(rgb, job["words"])
    first = time.perf_counter() - started
    warm = []
    for _ in range(job["runs"]):
        started = time.perf_counter()
        segmenter(rgb, job["words"])
        warm.append(time.perf_counter() - started)
    return {
        "first_s": round(first, 3),
        "warm_s": round(statistics.median(warm), 4),
        "runs": job["runs"],
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
