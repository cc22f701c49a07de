"""Instances in photos: COCO's average precision, and the recall of masks whatever their class."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lexiseg import imaging
from lexiseg.datasets import InstanceDataset
from lexiseg.errors import InputError, OptionError
from lexiseg.evaluation.result import versions
from lexiseg.metrics import BaseNovel, InstanceMetrics, InstanceScores, base_novel
from lexiseg.metrics.report import json_value
from lexiseg.results import Provenance, Segmentation

__all__ = ["InstanceEvaluation", "evaluate_instances"]


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
    progress: Callable[[int, int], None] | None = None,
) -> InstanceEvaluation:
    """Measure the instances that a segmenter returns for all of a set's classes.

    limit: only the first photos. The background's words compete, since much has no class. Raises
    InputError for a set without photos.
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
    metrics = InstanceMetrics(len(data.classes))
    index = {name: k for k, name in enumerate(data.classes)}
    seconds: list[float] = []
    for done, sample in enumerate(data, start=1):
        rgb = imaging.read(sample.path).rgb
        if rgb.shape[:2] != sample.size_hw:
            raise InputError(
                f"photo {sample.path} is {rgb.shape[1]}x{rgb.shape[0]} and was annotated at "
                f"{sample.size_hw[1]}x{sample.size_hw[0]} (width x height); download it again"
            )
        started = time.perf_counter()
        result = segmenter(rgb, list(data.classes))
        seconds.append(time.perf_counter() - started)
        metrics.add(
            result.masks,
            [index[str(label)] for label in result.labels],
            result.scores,
            sample.masks(),
            [one.class_id for one in sample.instances],
            [one.crowd for one in sample.instances],
            areas=[one.area for one in sample.instances],
        )
        if progress is not None:
            progress(done, len(data))
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
        seconds=float(np.median(seconds)),
        provenance=replace(result.provenance, seconds={}, prompts=None, notes=()),
    )


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"
