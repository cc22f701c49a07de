"""Few-shot episodes: find in one photo what others show, by their masks, with or without its word.

Scores are those of HSNet's evaluator, whoever drew the episodes: counts are summed by class at the
query's own size; pixels that the truth leaves open do not count. CLIPSeg's evaluator stands beside
it where it is asked for: photos of one size, a threshold swept over probabilities.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets import Episode, FewShotDataset
from lexiseg.errors import InputError, OptionError
from lexiseg.evaluation.clipseg_protocol import (
    SIDE,
    own_probability,
    pad_square,
    padded_to_label,
    squash_mask,
    squash_smoothly,
)
from lexiseg.evaluation.collecting import (
    Outcome,
    check_folder,
    collect,
    draw_binary,
    open_journal,
)
from lexiseg.evaluation.result import versions
from lexiseg.metrics import (
    FewShotMetrics,
    FewShotScores,
    FixedIntervalMetrics,
    FixedIntervalScores,
    episode_counts,
    mean_of_folds,
    mean_scores_of,
    threshold_counts,
)
from lexiseg.metrics.report import count_of
from lexiseg.prompts import Example, Like
from lexiseg.results import Provenance, Segmentation

__all__ = ["EpisodeResult", "FewShotEvaluation", "evaluate_few_shot"]

Pixels = NDArray[np.uint8]
_KEPT = 64  # photos that stay read: those of a fold come again and again
_CLIPSEG = (0.3, 0.24)  # CLIPSeg's thresholds: its paper's, and its code's of Pascal


@dataclass(frozen=True)
class EpisodeResult:
    """The counts of one episode, see ``episode_counts``; id: the fold and the episode's number.

    thresholds: those of ``threshold_counts``, () where CLIPSeg's evaluator was not asked for.
    """

    id: str
    counts: tuple[tuple[int, ...], ...]
    seconds: float
    thresholds: tuple[tuple[int, ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> EpisodeResult:
        """Return what `to_json` gave; raises KeyError and TypeError for anything else."""
        rows = {name: fields.get(name, ()) for name in ("counts", "thresholds")}
        if not rows["counts"]:
            raise KeyError("counts")
        return cls(**{**fields, **{k: tuple(tuple(row) for row in v) for k, v in rows.items()}})


@dataclass(frozen=True)
class FewShotEvaluation:
    """The scores of each fold and their mean; by_class: each class's IoU.

    shots: examples an episode, 0: the class was named alone. with_words: whether it was named too.
    without_episode: classes that no episode had; they count 0, as in HSNet's evaluator. clipseg:
    the scores of CLIPSeg's evaluator, the mean over folds, where it was asked for.
    """

    name: str
    title: str
    protocol: str
    shots: int
    with_words: bool
    folds: dict[str, FewShotScores]
    mean: FewShotScores
    by_class: dict[str, float]
    without_episode: tuple[str, ...]
    seconds: float
    provenance: Provenance
    clipseg: FixedIntervalScores | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; CLIPSeg's curves by threshold, 0.02 to 0.98."""
        plain = asdict(replace(self, provenance=Provenance(method="", encoder="")))
        del plain["name"], plain["seconds"], plain["clipseg"]
        if self.clipseg is not None:
            at = {
                f"{name}_{t}": getattr(self.clipseg, f"{way}_at")(t)
                for name, way in (("mean_iou", "mean_iou"), ("iou_fg", "fg_iou"),
                                  ("iou_bin", "bin_iou"))
                for t in _CLIPSEG
            }  # fmt: skip
            plain["clipseg"] = {"size": SIDE, **at, **asdict(self.clipseg)}
        return {
            "set": self.name,
            **plain,
            "seconds_per_episode": round(self.seconds, 4),
            "provenance": self.provenance.to_json(),
        }

    def document(self, command: str | None = None) -> dict[str, Any]:
        """Return what results.json holds."""
        return {**self.to_json(), "command": command, "versions": versions()}

    def summary(self) -> str:
        """Return a text of lines for people."""
        made, mean = self.provenance, self.mean
        how = "examples and the class's word" if self.with_words else "examples alone"
        how = how if self.shots else "the class's word alone"
        lines = [
            f"{made.method} on {self.name}: {self.title}",
            f"{mean.episodes} episodes of {self.shots} shot{'s' * (self.shots != 1)} "
            f"({self.protocol}'s), {how}",
            f"{1000 * self.seconds:.0f} ms an episode (median); encoder {made.encoder}, "
            f"{made.device}, {made.dtype}",
            "",
            f"{'fold':<8} {'classes':>7} {'episodes':>8}  {'mIoU, %':>7}  {'FB-IoU, %':>9}",
        ]
        rows = {**self.folds, **({"mean": mean} if len(self.folds) > 1 else {})}
        for name, one in rows.items():
            lines.append(
                f"{name:<8} {one.classes:>7} {one.episodes:>8}  {100 * one.mean_iou:>7.1f}  "
                f"{100 * one.fb_iou:>9.1f}"
            )
        if self.without_episode:
            lines.append(
                f"{count_of(len(self.without_episode), 'class')} had no episode, and count 0: "
                "take more"
            )
        if self.clipseg is not None:
            lines += ["", *self._clipseg_lines(self.clipseg)]
        lines += ["", *(f"{name:<16} {100 * iou:>5.1f}" for name, iou in self.by_class.items())]
        return "\n".join(lines) + "\n"

    def _clipseg_lines(self, scores: FixedIntervalScores) -> list[str]:
        how = "padded" if self.protocol == "pfenet" else "squashed"
        lines = [f"CLIPSeg's evaluator ({SIDE} x {SIDE} pixels, {how}, 1 added to unions)"]
        for t in _CLIPSEG:
            lines += [
                f"  mIoU at {t:<5}    {100 * scores.mean_iou_at(t):>5.1f} %",
                f"  IoU_FG at {t:<5}  {100 * scores.fg_iou_at(t):>5.1f} %",
                f"  IoU_BIN at {t:<5} {100 * scores.bin_iou_at(t):>5.1f} %",
            ]
        best, at = scores.best_mean_iou
        return [
            *lines,
            f"  AP               {100 * scores.ap:>5.1f} %",
            f"  best mIoU        {100 * best:>5.1f} %, at {at:.2f}",
        ]


def evaluate_few_shot(
    segmenter: Callable[..., Segmentation],
    folds: Sequence[FewShotDataset],
    *,
    shots: int = 1,
    limit: int | None = None,
    with_words: bool = False,
    clipseg: bool = False,
    out: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    save_vis: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> FewShotEvaluation:
    """Measure a segmenter on the episodes of one or several folds of a data set.

    shots: examples an episode; 0: the episodes of one, asked by the class's word alone. limit: only
    the first episodes of each fold: classes without one count 0, as in HSNet's evaluator.
    with_words: name the class too, mixed with the examples. clipseg: score by CLIPSeg's evaluator
    too, on photos padded (PFENet's episodes) or squashed to its size, which asks twice. out,
    resume, jobs, save_vis: as of ``evaluate_phrases``; the file is episodes.jsonl. Raises
    InputError without folds and for an example without its class, and what the segmenter raises
    where it takes no examples.
    """
    if not folds:
        raise InputError("there is no fold to measure on; give at least one")
    if shots < 0 or (limit is not None and limit < 1):
        raise OptionError(
            f"shots is {shots} and limit {limit}; give at least 1, or 0 shots for words alone"
        )
    check_folder(out, resume=resume, save_vis=save_vis)
    drawings = None if out is None or not save_vis else out / "visualizations"
    asking = _Asking(tuple(folds), shots, with_words, drawings, clipseg)
    drawn = [fold.episodes(shots=max(1, shots))[:limit] for fold in folds]
    units = [
        (place, number, episode)
        for place, episodes in enumerate(drawn)
        for number, episode in enumerate(episodes)
    ]
    ids = [_id(folds[place], number) for place, number, _ in units]
    settings = {
        "set": folds[0].name, "folds": [fold.split for fold in folds], "shots": shots,
        "with_words": with_words, **({"clipseg": True} if clipseg else {}),
    }  # fmt: skip
    with open_journal(
        out, EpisodeResult, settings, resume=resume, name="episodes.jsonl"
    ) as journal:
        before = {} if journal is None else journal.done
        left = [unit for unit, name in zip(units, ids, strict=True) if name not in before]
        results, provenance = collect(
            segmenter, left, asking.measure, ids, journal=journal, jobs=jobs, progress=progress
        )
    _read.cache_clear()
    if provenance is None:
        raise InputError(f"{folds[0].name} has no episode; choose other folds")
    scores: dict[str, FewShotScores] = {}
    theirs: list[FixedIntervalScores] = []
    by_class: dict[str, float] = {}
    asked = {
        folds[place].classes[episode.class_id] for place, _, episode in units
    }  # fmt: skip
    for place, fold in enumerate(folds):
        metrics = FewShotMetrics(fold.class_ids)
        for number, episode in enumerate(drawn[place]):
            metrics.add_counts(results[_id(fold, number)].counts, episode.class_id)
        scores[fold.split] = metrics.compute()
        swept = FixedIntervalMetrics()
        for number, episode in enumerate(drawn[place]):
            if one := results[_id(fold, number)].thresholds:
                swept.add_counts(np.array(one, np.int64), episode.class_id)
        theirs.append(swept.compute())
        by_class |= {fold.classes[k]: iou for k, iou in metrics.iou().items()}
    first = folds[0]
    return FewShotEvaluation(
        name=first.name,
        title=first.title,
        protocol=first.protocol,
        shots=shots,
        with_words=with_words,
        folds=scores,
        mean=mean_of_folds(list(scores.values())),
        by_class=by_class,
        without_episode=tuple(name for name in by_class if name not in asked),
        seconds=float(np.median([results[name].seconds for name in ids])),
        provenance=provenance,
        clipseg=mean_scores_of(theirs) if clipseg else None,
    )


@dataclass(frozen=True)
class _Asking:
    """What is the same for every episode of a run; a worker process gets it once."""

    folds: tuple[FewShotDataset, ...]
    shots: int
    with_words: bool
    drawings: Path | None
    clipseg: bool = False

    def measure(
        self, segmenter: Callable[..., Segmentation], unit: tuple[int, int, Episode]
    ) -> list[Outcome[EpisodeResult]]:
        """Ask one episode: the place of its fold, its number, and what it shows."""
        place, number, episode = unit
        fold = self.folds[place]
        word = fold.classes[episode.class_id]
        shown = []
        for name in episode.supports[: self.shots]:
            rgb = _read(str(fold.samples[name].path))
            mask, _ = fold.mask(name, episode.class_id, rgb.shape[:2])
            if not mask.any():
                raise InputError(
                    f"{name} of {fold.name} is to show {word!r}, and its mask has no pixel of it; "
                    "take the published masks"
                )
            shown.append((rgb, mask))
        query = _read(str(fold.samples[episode.query].path))
        prompt = self._prompt(shown, word)
        started = time.perf_counter()
        answer = segmenter(query, [prompt])
        seconds = time.perf_counter() - started
        found = answer.label_map == 0
        truth, ignored = fold.mask(episode.query, episode.class_id, query.shape[:2])
        counts = episode_counts(found, truth, ~ignored)
        name = _id(fold, number)
        if self.drawings is not None:
            draw_binary(self.drawings, name, query, truth, found, word, ignored)
        rows = tuple(tuple(row) for row in counts.tolist())
        made = replace(answer.provenance, seconds={}, prompts=None, notes=())
        swept: tuple[tuple[int, ...], ...] = ()
        if self.clipseg:
            padded = fold.protocol == "pfenet"
            small = [_small(rgb, mask, padded) for rgb, mask in shown]
            prompt = self._prompt(small, word)
            found = _swept(segmenter, query, prompt, truth, ignored, padded)
            swept = tuple(tuple(row) for row in found.tolist())
        return [(EpisodeResult(name, rows, round(seconds, 5), swept), made, None)]

    def _prompt(self, shown: Sequence[tuple[Pixels, NDArray[np.bool_]]], word: str) -> Any:
        """What is asked, by photos and masks of examples."""
        if not shown:
            return word
        examples = tuple(Example(rgb, mask=mask) for rgb, mask in shown)
        return Like(examples, name=word, words=word if self.with_words else None)


def _small(rgb: Pixels, mask: NDArray[np.bool_], padded: bool) -> tuple[Pixels, NDArray[np.bool_]]:
    """An example at CLIPSeg's size; as it is where nothing would be left of its mask."""
    there = pad_square(mask) if padded else squash_mask(mask)
    if not there.any():
        return rgb, mask
    return (pad_square(rgb) if padded else squash_smoothly(rgb)), there


def _swept(
    segmenter: Callable[..., Segmentation],
    query: Pixels,
    prompt: Any,
    truth: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
    padded: bool,
) -> NDArray[np.int64]:
    """An episode's counts as CLIPSeg's code makes them; COCO's masks have nothing that is open."""
    if padded:
        small = own_probability(segmenter, pad_square(query), prompt)
        return threshold_counts(padded_to_label(small, query.shape[:2]), truth, ~ignored)
    small = own_probability(segmenter, squash_smoothly(query), prompt)
    return threshold_counts(small, squash_mask(truth))


def _id(fold: FewShotDataset, number: int) -> str:
    return f"{fold.split}/{number:05}"


@lru_cache(maxsize=_KEPT)
def _read(path: str) -> NDArray[np.uint8]:
    return imaging.read(path).rgb
