"""Work through a folder one way and print what it took, as JSON; `rows/batch.py` starts it."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import resident_mb

WORDS = "person; sky; grass; tree; road; building; dog; cat; car; water"


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Run the job: way ("naive", "batch", "plain", "overhead"), folder, out."""
    folder, out = Path(job["folder"]), Path(job["out"])
    ways = {"naive": _naive, "batch": _batch, "plain": _plain, "overhead": _overhead}
    return ways[job["way"]](folder, out)


def _naive(folder: Path, out: Path) -> dict[str, Any]:
    """One after the other in one process, which has all threads, as a script would."""
    import lexiseg

    segmenter = lexiseg.load("tiny")
    paths = sorted(folder.iterdir())
    segmenter(paths[0], WORDS)
    started, cpu = time.perf_counter(), _cpu()
    _write_all(segmenter, paths, out)
    wall = time.perf_counter() - started
    return {"rate": len(paths) / wall, "busy": (_cpu() - cpu) / (wall * _cores())}


def _batch(folder: Path, out: Path) -> dict[str, Any]:
    """All of `lexiseg.run_batch`, its start and its tables too; rate: once all processes work."""
    import lexiseg

    marks: list[tuple[float, float]] = []

    def note(done: int, total: int, name: str) -> None:
        looked = done % max(1, total // 100) == 0
        marks.append((time.perf_counter(), _held() if looked else 0))

    config = lexiseg.config_class("dense")()
    started, cpu = time.perf_counter(), _cpu()
    result = lexiseg.run_batch(config, folder, out, WORDS, progress=note)
    wall = time.perf_counter() - started
    first = len(marks) // 10
    held = [mark[1] for mark in marks if mark[1]]
    return {
        "rate": (len(marks) - 1 - first) / (marks[-1][0] - marks[first][0]),
        "rate_with_start": result.done / wall,
        "busy": (_cpu() - cpu) / (wall * _cores()),
        "memory_quarter_mb": round(held[len(held) // 4]),
        "memory_end_mb": round(held[-1]),
    }


class _Nothing:
    """A segmenter that costs nothing and finds the left half."""

    name, config = "nothing", None

    def prepare(self, image: Any) -> Any:
        return image

    def all_masks(self, view: Any) -> None:
        return None

    def __call__(self, image: Any, words: Any, **given: Any) -> Any:
        from lexiseg.masks import Masks
        from lexiseg.results import Provenance, Segmentation

        label_map = np.full(image.size_hw, -1, np.int16)
        label_map[:, : label_map.shape[1] // 2] = 0
        return Segmentation(
            words=words.names, labels=np.array(words.names[:1]),
            masks=Masks.from_labels(label_map, [0]),
            scores=np.ones(1, np.float32), label_map=label_map,
            word_scores=np.eye(1, len(words.names), dtype=np.float32)[0],
            provenance=Provenance(method="nothing", encoder="none"),
        )  # fmt: skip


def _plain(folder: Path, out: Path) -> dict[str, Any]:
    """What a loop of reading and writing takes, without a model."""
    started = time.perf_counter(), _cpu()
    paths = sorted(folder.iterdir())
    _write_all(_Nothing(), paths, out)
    return _each(started, len(paths))


def _overhead(folder: Path, out: Path) -> dict[str, Any]:
    """What a run takes, without a model."""
    import lexiseg

    started = time.perf_counter(), _cpu()
    result = lexiseg.run_batch(_Nothing(), folder, out, WORDS, kinds=("labels",))
    return _each(started, result.done)


def _each(started: tuple[float, float], count: int) -> dict[str, Any]:
    wall, cpu = time.perf_counter() - started[0], _cpu() - started[1]
    return {"wall_ms": 1000 * wall / count, "cpu_ms": 1000 * cpu / count}


def _write_all(segmenter: Any, paths: list[Path], out: Path) -> None:
    """Read, segment and write as `lexiseg segment` does, one picture after the other."""
    from lexiseg import imaging
    from lexiseg.batch.outputs import KINDS, write_results
    from lexiseg.planning import Job
    from lexiseg.prompts import Vocabulary

    words = Vocabulary.parse(WORDS)
    kinds = ("labels",) if isinstance(segmenter, _Nothing) else KINDS[:3]
    for path in paths:
        picture = imaging.read(path)
        seg = segmenter(picture, words)
        job = Job(path, os.path.realpath(path), out / path.stem)
        write_results(job, picture, seg, seg.words, kinds=kinds)


def _held() -> float:
    """Megabytes that this process and its workers hold."""
    return resident_mb(os.getpid(), *(one.pid or 0 for one in multiprocessing.active_children()))


def _cpu() -> float:
    """Seconds of processors that this process and its ended children took."""
    return sum(os.times()[:4])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
