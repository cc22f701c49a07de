"""Instances in photos: COCO's average precision, and the recall of masks whatever their class."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets import InstanceDataset
from lexiseg.datasets.instances import InstanceSample
from lexiseg.errors import InputError, OptionError
from lexiseg.evaluation.collecting import (
    Outcome,
    check_folder,
    collect,
    drawing_path,
    open_journal,
)
from lexiseg.evaluation.result import versions
from lexiseg.masks import Masks
from lexiseg.metrics import BaseNovel, InstanceMetrics, InstanceScores, base_novel
from lexiseg.metrics.report import json_value
from lexiseg.results import Provenance, Segmentation

__all__ = ["FoundInstances", "InstanceEvaluation", "evaluate_instances"]


@dataclass(frozen=True)
class FoundInstances:
    """What was answered on one photo: of each mask its class, its score and its run lengths."""

    id: str
    classes: tuple[int, ...]
    scores: tuple[float, ...]
    rles: tuple[Any, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> FoundInstances:
        """Return what `to_json` gave; raises KeyError and TypeError for anything else."""
        lists = {key: tuple(fields[key]) for key in ("classes", "scores", "rles")}
        return cls(**{**fields, **lists})


@dataclass(frozen=True)
class InstanceEvaluation:
    """COCO's numbers, over how many photos and instances, and how they came about.

    groups: the mean AP of base and novel classes, where the set has such groups.
    """

    name: str
    title: str
    split: str
    classes: tuple[str, ...]
    score: InstanceScores
    groups: BaseNovel | None
    seconds: float
    provenance: Provenance

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; null for NaN."""
        score = {key: json_value(value) for key, value in asdict(self.score).items()}
        by_class = dict(zip(self.classes, score.pop("by_class"), strict=True))
        groups = None if self.groups is None else asdict(self.groups)
        return {
            "set": self.name,
            "title": self.title,
            "split": self.split,
            **score,
            "ap_by_class": by_class,
            "groups": groups and {key: json_value(value) for key, value in groups.items()},
            "seconds_per_picture": round(self.seconds, 4),
            "provenance": self.provenance.to_json(),
        }

    def document(self, command: str | None = None) -> dict[str, Any]:
        """Return what results.json holds."""
        return {**self.to_json(), "command": command, "versions": versions()}

    def summary(self) -> str:
        """Return a text of lines for people."""
        made, score = self.provenance, self.score
        known = sum(not math.isnan(value) for value in score.by_class)
        rows = [
            ("AP", score.ap, f"IoU 0.5 to 0.95, {known} classes with instances"),
            ("AP50", score.ap50, ""),
            ("AP75", score.ap75, ""),
            ("AP small", score.ap_small, "up to 32 x 32 pixels"),
            ("AP medium", score.ap_medium, ""),
            ("AP large", score.ap_large, "from 96 x 96 pixels"),
            ("AR 100", score.ar100, "average recall, at most 100 masks a photo"),
            (
                "AR any class",
                score.proposal_recall[1],
                "of masks whatever their class, at most 100",
            ),
            ("  at most 1000", score.proposal_recall[2], ""),
        ]
        if self.groups is not None:
            rows += [
                ("base", self.groups.base, f"AP of {self.groups.base_classes} classes"),
                ("novel", self.groups.novel, f"AP of {self.groups.novel_classes} classes"),
                ("harmonic", self.groups.harmonic, ""),
            ]
        lines = [f"{name:<16} {_percent(value):>6}   {over}".rstrip() for name, value, over in rows]
        head = [
            f"{made.method} on {self.name}/{self.split}: {self.title}",
            f"{score.instances} instances on {score.photos} photos, {1000 * self.seconds:.0f} ms a "
            f"picture (median); encoder {made.encoder}, {made.device}, {made.dtype}",
            "",
        ]
        return "\n".join([*head, *lines]) + "\n"


def evaluate_instances(
    segmenter: Callable[..., Segmentation],
    data: InstanceDataset,
    *,
    limit: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    save_vis: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> InstanceEvaluation:
    """Measure the instances that a segmenter returns for all of a set's classes.

    limit: only the first photos. The background's words compete, since much has no class. out,
    resume, jobs, save_vis: as of ``evaluate_phrases``; the file is instances.jsonl, and drawings
    show classes, small instances over large. Raises InputError for a set without photos.
    """
    if limit is not None:
        if limit < 1:
            raise OptionError(f"limit is {limit}; give at least 1 photo")
        data = data.first(limit)
    if not len(data):
        raise InputError(f"{data.name}/{data.split} has no photos; choose some")
    if any(sample.absent or sample.incomplete for sample in data):
        raise InputError(
            f"{data.name} counts only the classes that were looked for in a photo, which COCO's "
            "code does not know; measure it with the package lvis, or its class masks here"
        )
    check_folder(out, resume=resume, save_vis=save_vis)
    settings = {"set": data.name, "split": data.split, "classes": data.classes}
    drawings = None if out is None or not save_vis else out / "visualizations"
    with open_journal(
        out, FoundInstances, settings, resume=resume, name="instances.jsonl"
    ) as journal:
        before = {} if journal is None else journal.done
        results, provenance = collect(
            segmenter,
            [sample for sample in data if sample.id not in before],
            partial(_measure, classes=data.classes, drawings=drawings),
            [sample.id for sample in data],
            journal=journal, jobs=jobs, progress=progress,
        )  # fmt: skip
    assert provenance is not None  # a set has at least one photo
    metrics = InstanceMetrics(len(data.classes))
    for sample in data:
        found = results[sample.id]
        metrics.add(
            Masks.from_rle(found.rles, sample.size_hw),
            found.classes,
            found.scores,
            sample.masks(),
            [one.class_id for one in sample.instances],
            [one.crowd for one in sample.instances],
            areas=[one.area for one in sample.instances],
        )
    score = metrics.compute()
    groups: Any = data.groups
    split = groups if {"base", "novel"} <= set(groups) else None
    return InstanceEvaluation(
        name=data.name,
        title=data.title,
        split=data.split,
        classes=data.classes,
        score=score,
        groups=split and base_novel(np.array(score.by_class), split["base"], split["novel"]),
        seconds=float(np.median([results[sample.id].seconds for sample in data])),
        provenance=provenance,
    )


def _measure(
    segmenter: Callable[..., Segmentation],
    sample: InstanceSample,
    classes: tuple[str, ...],
    drawings: Path | None,
) -> list[Outcome[FoundInstances]]:
    """Ask all classes of one photo."""
    rgb = imaging.read(sample.path).rgb
    if rgb.shape[:2] != sample.size_hw:
        raise InputError(
            f"photo {sample.path} is {rgb.shape[1]}x{rgb.shape[0]} and was annotated at "
            f"{sample.size_hw[1]}x{sample.size_hw[0]} (width x height); download it again"
        )
    started = time.perf_counter()
    answer = segmenter(rgb, list(classes))
    seconds = time.perf_counter() - started
    index = {name: k for k, name in enumerate(classes)}
    found = tuple(index[str(label)] for label in answer.labels)
    if drawings is not None:
        from lexiseg.visualize import comparison

        truth = _painted(sample.masks(), [one.class_id for one in sample.instances])
        pred = _painted(answer.masks, found)
        names = ("", *classes)
        sheet = comparison(rgb, truth, pred, names, len(names), background=0)
        imaging.write(drawing_path(drawings, sample.id), sheet)
    made = replace(answer.provenance, seconds={}, prompts=None, notes=())
    scores = tuple(float(score) for score in answer.scores)
    kept = FoundInstances(sample.id, found, scores, tuple(answer.masks.to_rle()), round(seconds, 5))
    return [(kept, made, None)]


def _painted(masks: Masks, classes: Sequence[int]) -> NDArray[np.int32]:
    """Class indices from 1 by pixel, (H, W), small masks over large ones; 0 where none is."""
    labels = np.zeros(masks.size_hw, np.int32)
    for place in np.argsort(-masks.areas, kind="stable").tolist():
        labels[masks.mask(place)] = classes[place] + 1
    return labels


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"
