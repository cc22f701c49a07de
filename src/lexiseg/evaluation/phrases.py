"""Phrases about photos, measured as CLIPSeg measures them and as PhraseCut does.

CLIPSeg squashes photo and mask to 352 x 352 pixels, sweeps a threshold over probabilities, adds
one to every union, and takes every phrase for a class of its own. PhraseCut takes the mask that a
method answers, at the photo's own size. The numbers do not compare; both are printed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets import PhraseDataset
from lexiseg.datasets.phrases import PhraseSample
from lexiseg.errors import InputError, OptionError, PromptError
from lexiseg.evaluation.clipseg_protocol import SIDE, own_probability, squash, squash_mask
from lexiseg.evaluation.collecting import (
    Outcome,
    check_folder,
    collect,
    draw_binary,
    open_journal,
)
from lexiseg.evaluation.result import versions
from lexiseg.metrics import (
    FixedIntervalMetrics,
    FixedIntervalScores,
    PhraseCutMetrics,
    PhraseCutScores,
    threshold_counts,
)
from lexiseg.metrics.report import count_of
from lexiseg.results import Provenance, Segmentation

__all__ = ["PhraseEvaluation", "PhraseResult", "evaluate_phrases"]

_PAPER = 0.3  # the threshold of CLIPSeg's paper on PhraseCut


@dataclass(frozen=True)
class PhraseResult:
    """The counts of one phrase: PhraseCut's two, and (4, 49) of ``threshold_counts``.

    usable: whether it could be asked.
    """

    id: str
    shared: int
    either: int
    thresholds: tuple[tuple[int, ...], ...]
    seconds: float
    usable: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> PhraseResult:
        """Return what `to_json` gave; raises KeyError and TypeError for anything else."""
        rows = tuple(tuple(row) for row in fields["thresholds"])
        return cls(**{**fields, "thresholds": rows})


@dataclass(frozen=True)
class PhraseEvaluation:
    """Both evaluators' scores, over how many phrases and photos, and how they came about.

    unusable: phrases that cannot be asked; they count as answered with nothing. seconds: the median
    time of a phrase for both evaluators together, reading aside.
    """

    name: str
    title: str
    split: str
    photos: int
    unusable: int
    clipseg: FixedIntervalScores
    phrasecut: PhraseCutScores
    seconds: float
    provenance: Provenance

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; CLIPSeg's curves by threshold, 0.02 to 0.98."""
        best, at = self.clipseg.best_mean_iou
        return {
            "set": self.name,
            "title": self.title,
            "split": self.split,
            "photos": self.photos,
            "unusable_phrases": self.unusable,
            "clipseg": {
                "size": SIDE,
                "mean_iou_0.3": self.clipseg.mean_iou_at(_PAPER),
                "iou_fg_0.3": self.clipseg.fg_iou_at(_PAPER),
                "iou_bin_0.3": self.clipseg.bin_iou_at(_PAPER),
                "best_mean_iou": best,
                "best_threshold": round(at, 2),
                **asdict(self.clipseg),
            },
            "phrasecut": asdict(self.phrasecut),
            "seconds_per_phrase": round(self.seconds, 4),
            "provenance": self.provenance.to_json(),
        }

    def document(self, command: str | None = None) -> dict[str, Any]:
        """Return what results.json holds."""
        return {**self.to_json(), "command": command, "versions": versions()}

    def summary(self) -> str:
        """Return a text of lines for people."""
        made, paper, own = self.provenance, self.clipseg, self.phrasecut
        best, at = paper.best_mean_iou
        over = ", ".join(f"{100 * a:.1f} % above {t:.1f}" for a, t in zip(
            own.accuracy, (0.5, 0.6, 0.7, 0.8, 0.9), strict=True))  # fmt: skip
        return "\n".join([
            f"{made.method} on {self.name}/{self.split}: {self.title}",
            f"{count_of(own.phrases, 'phrase')} about {count_of(self.photos, 'photo')}, "
            f"{1000 * self.seconds:.0f} ms a phrase (median); encoder {made.encoder}, "
            f"{made.device}, {made.dtype}",
            *([f"{self.unusable} phrases cannot be asked, and count as not found"]
              if self.unusable else []),
            "",
            f"CLIPSeg's evaluator ({SIDE} x {SIDE} pixels, 1 added to unions, a class a phrase)",
            f"  mIoU at {_PAPER}      {_percent(paper.mean_iou_at(_PAPER))}",
            f"  IoU_FG at {_PAPER}    {_percent(paper.fg_iou_at(_PAPER))}",
            f"  IoU_BIN at {_PAPER}   {_percent(paper.bin_iou_at(_PAPER))}",
            f"  AP               {_percent(paper.ap)}",
            f"  best mIoU        {_percent(best)}, at {at:.2f}",
            "",
            "PhraseCut's evaluator (the photo's own size, the method's own mask)",
            f"  mean IoU         {_percent(own.mean_iou)}",
            f"  cumulative IoU   {_percent(own.cumulative_iou)}",
            f"  accuracy         {over}",
        ]) + "\n"  # fmt: skip


def evaluate_phrases(
    segmenter: Callable[..., Segmentation],
    data: PhraseDataset,
    *,
    limit: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    save_vis: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> PhraseEvaluation:
    """Measure a segmenter on phrases, each asked alone against the background's words.

    limit: only the first phrases. out: a folder that is there, for phrases.jsonl; resume: go on
    with a run of the same settings that was ended there. save_vis: draw each phrase's photo, truth
    and answer to visualizations/ID.png there. jobs: processes, see ``measure_all``. A segmenter
    with ``prepare`` encodes each photo once. Raises InputError for a set without phrases,
    OptionError for a method that keeps no probabilities.
    """
    if limit is not None:
        if limit < 1:
            raise OptionError(f"limit is {limit}; give at least 1 phrase")
        data = data.first(limit)
    check_folder(out, resume=resume, save_vis=save_vis)
    settings = {"set": data.name, "split": data.split}
    drawings = None if out is None or not save_vis else out / "visualizations"
    with open_journal(out, PhraseResult, settings, resume=resume, name="phrases.jsonl") as journal:
        before = {} if journal is None else journal.done
        photos = [
            [sample for sample in group if sample.id not in before]
            for _, group in groupby(data, key=lambda sample: sample.path)
        ]
        results, provenance = collect(
            segmenter,
            [samples for samples in photos if samples],
            partial(_measure_photo, drawings=drawings),
            [sample.id for sample in data],
            journal=journal, jobs=jobs, progress=progress,
        )  # fmt: skip
    if provenance is None:
        raise InputError(f"{data.name}/{data.split} has no phrase that can be asked; choose some")
    ours, theirs = PhraseCutMetrics(), FixedIntervalMetrics()
    kept = [results[sample.id] for sample in data]
    for place, one in enumerate(kept):
        ours.add_counts(one.shared, one.either)
        theirs.add_counts(np.array(one.thresholds, np.int64), place)
    return PhraseEvaluation(
        data.name, data.title, data.split, len({sample.path for sample in data}),
        sum(not one.usable for one in kept), theirs.compute(), ours.compute(),
        float(np.median([one.seconds for one in kept])), provenance,
    )  # fmt: skip


def _measure_photo(
    segmenter: Callable[..., Segmentation], samples: Sequence[PhraseSample], drawings: Path | None
) -> list[Outcome[PhraseResult]]:
    """Ask the phrases of one photo."""
    rgb = imaging.read(samples[0].path).rgb
    views = [_prepared(segmenter, picture) for picture in (rgb, squash(rgb))]
    return [_measure(segmenter, sample, views, rgb, drawings) for sample in samples]


def _measure(
    segmenter: Callable[..., Segmentation],
    sample: PhraseSample,
    views: Sequence[Any],
    rgb: NDArray[np.uint8],
    drawings: Path | None,
) -> Outcome[PhraseResult]:
    """Ask one phrase of the photo and of the squashed one; made by None: it cannot be asked."""
    truth = sample.mask(rgb.shape[:2])
    started = time.perf_counter()
    made = None
    try:
        whole = segmenter(views[0], [sample.phrase])
        found = whole.label_map == 0
        probability = own_probability(segmenter, views[1], sample.phrase)
        made = replace(whole.provenance, seconds={}, prompts=None, notes=())
    except PromptError:
        found = np.zeros(truth.shape, np.bool_)
        probability = np.zeros((SIDE, SIDE), np.float32)
    seconds = time.perf_counter() - started
    counts = threshold_counts(probability, squash_mask(truth))
    shared, either = int((found & truth).sum()), int((found | truth).sum())
    thresholds = tuple(tuple(row) for row in counts.tolist())
    if drawings is not None:
        draw_binary(drawings, sample.id, rgb, truth, found, sample.phrase)
    result = PhraseResult(
        sample.id, shared, either, thresholds, round(seconds, 5), made is not None
    )
    return result, made, None


def _prepared(segmenter: Callable[..., Segmentation], rgb: NDArray[np.uint8]) -> Any:
    prepare = getattr(segmenter, "prepare", None)
    return rgb if prepare is None else prepare(rgb)


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"
