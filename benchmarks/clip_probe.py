"""Segment one large photo with a drawn CLIP in this process; `rows/clip.py` starts it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from benchmarks.drawn import B16, Sizes
from benchmarks.machine import peak_mb
from benchmarks.rows import clip


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Run the job: width and height of the photo, its short side, how many words, sizes, device."""
    encoder = clip.encoder(Sizes(**job["sizes"]) if job["sizes"] else B16, job["device"], "fp32")
    rgb = clip.photo(job["size_wh"])
    segmenter = clip.segmenter(encoder, job["short_side"])
    view = segmenter.prepare(rgb)
    encoder.vectors = clip.centres(view.encoded[0].cells, job["words"])
    started, work = time.perf_counter(), time.process_time()
    out = segmenter(view, clip.names(job["words"]), background=None)
    return {
        "encode_s": round(view.seconds["encode"], 2),
        "label_s": round(time.perf_counter() - started, 2),
        "label_cpu_s": round(time.process_time() - work, 2),
        "labels": len(set(out.label_map.reshape(-1).tolist())),
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
