"""What an evaluation found: as values, as JSON, and as a text for people."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

import numpy as np

from lexiseg._version import __version__
from lexiseg.device import describe_machine, peak_device_memory
from lexiseg.evaluation.pictures import Background, PictureResult
from lexiseg.metrics import BaseNovel, ConfusionMatrix
from lexiseg.metrics.report import SetScore, count_of, json_value
from lexiseg.results import Provenance

__all__ = ["Evaluation", "dump", "picture_iou", "versions"]


@dataclass(frozen=True)
class Evaluation:
    """What was measured, on what, and how.

    `asked` are the words in the order in which they were asked, `background` what was handed to
    the segmenter beside them. `seconds` is the median time of one picture, reading it aside.
    `matrix` holds the counts of every photo, in the order of `ids`; `provenance` is what is the
    same for all pictures. `groups` are the means over base and novel classes, where the set has
    such groups. `pictures` are the single photos, `settings` how the run was cut and ordered.
    """

    name: str
    title: str
    split: str
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    background_index: int | None
    asked: tuple[str, ...]
    background: Background
    score: SetScore
    seconds: float
    provenance: Provenance
    matrix: ConfusionMatrix
    groups: BaseNovel | None = None
    pictures: tuple[PictureResult, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, all but what single photos and the machine say."""
        groups = {} if self.groups is None else {"groups": json_value(asdict(self.groups))}
        return {
            "set": self.name,
            "title": self.title,
            "split": self.split,
            **self.score.to_json(),
            **groups,
            "seconds_per_picture": round(self.seconds, 4),
            "asked": list(self.asked),
            "background": self.background,
            "provenance": self.provenance.to_json(),
        }

    def document(self, command: str | None = None) -> dict[str, Any]:
        """Return what results.json holds: `to_json`, the stages, the machine and every photo."""
        classes, columns = self.matrix.num_classes, self.matrix.num_predicted
        pictures = []
        for one in self.pictures:
            areas = one.areas(classes, columns)
            hit, true = int(areas[:, 0].sum()), int(areas[:, 1].sum())
            pictures.append(
                {
                    "id": one.id,
                    "mean_iou": json_value(picture_iou(areas)),
                    "pixel_accuracy": json_value(hit / true if true else math.nan),
                    "seconds": one.seconds,
                    # class, pixels right, true pixels, predicted pixels
                    "counts": [[int(k), *areas[k].tolist()] for k in np.flatnonzero(areas.any(1))],
                }
            )
        return {
            **self.to_json(),
            "class_names": list(self.classes),
            "background_index": self.background_index,
            "settings": dict(self.settings),
            "command": command,
            "versions": versions(),
            "machine": describe_machine(),
            "stages": self.stages(),
            "peak_device_memory_bytes": peak_device_memory(),
            "pictures": pictures,
        }

    def stages(self) -> dict[str, dict[str, float]]:
        """Return each stage's median seconds, also the processor's, and the most bytes held."""
        out: dict[str, dict[str, float]] = {}
        for name in dict.fromkeys(name for one in self.pictures for name in one.stages):
            seconds = [one.stages[name] for one in self.pictures if name in one.stages]
            out[name] = {"seconds": round(float(np.median(seconds)), 5)}
            work = [one.cpu[name] for one in self.pictures if name in one.cpu]
            if work:
                out[name]["cpu_seconds"] = round(float(np.median(work)), 5)
            held = [one.memory[name] for one in self.pictures if name in one.memory]
            if held:
                out[name]["peak_memory_bytes"] = max(held)
        return out

    def summary(self) -> str:
        """Return a text of lines for people."""
        made = self.provenance
        how = f"{made.method} on {self.name}/{self.split}: {self.title}"
        masker = "" if made.masker in (None, made.encoder) else f", mask model {made.masker}"
        speed = (
            f"{count_of(len(self.ids), 'photo')}, {1000 * self.seconds:.0f} ms a picture (median); "
            f"encoder {made.encoder}{masker}, {made.device}, {made.dtype}"
        )
        text = f"{how}\n{speed}\n\n{self.score.summary()}"
        if self.groups is not None:
            text += f"\n{_groups(self.groups)}"
        return text


def picture_iou(areas: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    """Return the mean IoU of the classes that one photo holds, to rank photos; NaN where none is.

    areas: hits, true and predicted pixels, (C, 3). A set's score sums these first.
    """
    there = areas[areas[:, 1] > 0]
    if not len(there):
        return math.nan
    hit, true, pred = there.T
    return float((hit / (true + pred - hit)).mean())


def versions() -> dict[str, str]:
    """Return the versions of what numbers depend on."""
    names = {"torch": "torch", "numpy": "numpy", "opencv": "opencv-contrib-python-headless"}
    made = {"lexiseg": __version__, "python": platform.python_version()}
    for name, package in names.items():
        try:
            made[name] = metadata.version(package)
        except metadata.PackageNotFoundError:  # another build of it
            made[name] = "unknown"
    return made


def dump(document: Mapping[str, Any]) -> str:
    """Return JSON in which lists of numbers and single photos stand on a line each."""
    lines = []
    for key, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            body = ",\n  ".join(json.dumps(one, ensure_ascii=False) for one in value)
            text = f"[\n  {body}\n ]"
        elif isinstance(value, dict) and any(
            isinstance(one, dict | list) for one in value.values()
        ):
            inner = (
                f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items()
            )
            text = "{\n  " + ",\n  ".join(inner) + "\n }"
        else:
            text = json.dumps(value, ensure_ascii=False)
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _groups(groups: BaseNovel) -> str:
    rows: Sequence[tuple[str, float, str]] = (
        ("base", groups.base, f"mean IoU of {groups.base_classes} classes"),
        ("novel", groups.novel, f"mean IoU of {groups.novel_classes} classes"),
        ("harmonic", groups.harmonic, "mean of the two"),
    )
    return "".join(
        f"{name:<16} {'-' if math.isnan(value) else f'{100 * value:.1f} %'}   {over}\n"
        for name, value, over in rows
    )
