"""Measure a segmenter on a data set: whole pictures, the set's own words, sums over the set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets import Sample, SemanticDataset, open_semantic
from lexiseg.errors import InputError, OptionError, OutputError
from lexiseg.evaluation.collecting import Outcome, collect, open_journal
from lexiseg.evaluation.html import Thumbnails, report
from lexiseg.evaluation.journal import FILE_NAME
from lexiseg.evaluation.pictures import (
    Background,
    PictureResult,
    PictureTask,
    column_words,
    measure_picture,
)
from lexiseg.evaluation.result import Evaluation, dump, picture_iou
from lexiseg.metrics import BoundaryIoU, BoundaryScore, ConfusionMatrix, base_novel
from lexiseg.metrics.report import score_set
from lexiseg.results import Provenance, Segmentation

__all__ = ["evaluate", "output_folder"]


def evaluate(
    segmenter: Callable[..., Segmentation],
    data: str | Path | SemanticDataset,
    *,
    root: str | Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    shuffle_seed: int | None = None,
    out: str | Path | None = None,
    words: Sequence[str] | None = None,
    extra_words: Sequence[str] = (),
    shuffle_words: int | None = None,
    background: Background = "auto",
    jobs: int = 1,
    resume: bool = False,
    save_vis: bool = False,
    predictions: bool = False,
    command: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Segment every photo of a split by the set's own words and compare the label maps.

    segmenter: takes (image, words, *, background) and returns a Segmentation, as `load` gives.
    data: a published data set by its name, which lies in or below `root`, see `list_datasets`;
        the folder of one, or of one in the plain layout; or an open one.
    split: a part of it; if left out the one that papers report, of a plain layout "val".
    limit: only so many photos; "absent" and "photos" then mean among these.
    shuffle_seed: take the photos in this random order, before `limit` cuts.
    out: a folder for results.json, summary.txt, report.html and pictures.jsonl.
    words: other words for the classes, in the classes' order; names as they stand otherwise.
    extra_words: more words to compete; no pixel is one, so what is given to them is wrong. Those
        that are words of the classes already are left out.
    shuffle_words: a seed; the words are asked in that random order.
    background: handed to the segmenter. "auto": "default" where the set has a background, else
        None, so that every pixel gets a word. The class of the background is always asked as the
        literal word "background".
    jobs: processes that work at the same time; more than one for a segmenter of `load` only.
    resume: go on with a run of the same settings that was ended in `out`; its photos count.
    save_vis, predictions: write visualizations/ID.png (photo, truth, answer, errors) and
        predictions/ID.png (class indices; 255, of many classes 65535: no word) to `out`.
    command: the line that started the run, for results.json.
    progress: called with how many photos are done, and of how many.

    Raises InputError for a data set or label map that does not fit, OptionError for settings that
    do not go together, and whatever reading a photo or the segmenter raises. What was done until
    then stays in `out` for `resume`.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"limit is {limit}; give at least 1 photo")
    if jobs < 1:
        raise OptionError(f"jobs is {jobs}; give at least 1")
    if out is None and (resume or save_vis or predictions):
        what = "resume" if resume else "save_vis" if save_vis else "predictions"
        raise OptionError(f"{what} needs a folder of results; give out")
    with output_folder(out) as folder:
        photos = _choose(data, root, split, limit, shuffle_seed)
        asked_words = column_words(photos, words, extra_words)
        task = _task(photos, asked_words, shuffle_words, background)
        if folder is not None:
            task = replace(
                task,
                visualizations=folder / "visualizations" if save_vis else None,
                predictions=folder / "predictions" if predictions else None,
                thumbnails=True,
            )
        pictures, provenance = _measure(segmenter, photos, task, folder, jobs, resume, progress)
        found = replace(
            _score(photos, task, asked_words, pictures, provenance),
            settings={
                "limit": limit, "shuffle_seed": shuffle_seed, "shuffle_words": shuffle_words,
                "words": None if words is None else list(words), "extra_words": list(extra_words),
            },
        )  # fmt: skip
        if folder is not None:
            imaging.write_text(folder / "summary.txt", found.summary())
            document = found.document(command)
            imaging.write_text(folder / "report.html", report(found, document, Thumbnails(folder)))
            imaging.write_text(folder / _RESULTS, dump(document))
    return found


_RESULTS = "results.json"


@contextmanager
def output_folder(out: str | Path | None) -> Iterator[Path | None]:
    """Make a folder for results; where the work inside fails and left it empty, it goes again.

    Raises OutputError for a folder that cannot be made or written.
    """
    if out is None:
        yield None
        return
    folder = Path(out)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".lexiseg-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        _remove_empty(made)
        raise OutputError(
            f"the folder {folder} cannot be made or written ({error.strerror}); give another"
        ) from error
    try:
        yield folder
    except BaseException:
        _remove_empty(made)
        raise


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, as far as they are empty."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _choose(
    data: str | Path | SemanticDataset,
    root: str | Path | None,
    split: str | None,
    limit: int | None,
    shuffle_seed: int | None,
) -> SemanticDataset:
    if isinstance(data, SemanticDataset):
        photos = data
    else:
        photos, *others = open_semantic(data, split, root=root)
        if others:
            names = ", ".join(one.name for one in (photos, *others))
            raise InputError(f"{data} holds several data sets ({names}); give one of them")
    if shuffle_seed is not None:
        order = np.random.default_rng(shuffle_seed).permutation(len(photos))
        photos = replace(photos, samples=tuple(photos[i] for i in order.tolist()))
    if limit is not None:
        photos = photos.first(limit)
    if not len(photos):
        raise InputError(f"{photos.name}/{photos.split} has no photos; choose some")
    return photos


def _task(
    photos: SemanticDataset, words: Sequence[str], shuffle: int | None, background: Background
) -> PictureTask:
    order = np.arange(len(words))
    if shuffle is not None:
        order = np.random.default_rng(shuffle).permutation(order)
    if background == "auto":
        background = None if photos.background_index is None else "default"
    elif background is not None and not isinstance(background, str):
        background = tuple(background)
    return PictureTask(
        classes=photos.classes,
        asked=tuple(words[column] for column in order.tolist()),
        columns=np.concatenate([[len(words)], order]),
        background=background,
        background_index=photos.background_index,
        ignore_index=photos.ignore_index,
    )


def _measure(
    segmenter: Callable[..., Segmentation],
    photos: SemanticDataset,
    task: PictureTask,
    folder: Path | None,
    jobs: int,
    resume: bool,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[PictureResult], Provenance]:
    """Measure every photo that is not done yet; return all, in the set's order."""
    thumbnails = None if folder is None else Thumbnails(folder)
    settings = {
        "set": photos.name, "split": photos.split, "classes": photos.classes,
        "asked": task.asked, "background": task.background,
    }  # fmt: skip

    def keep(result: PictureResult, thumbnail: NDArray[np.uint8] | None) -> None:
        if thumbnails is not None and thumbnail is not None:
            thumbnails.add(result.id, _rank(result, task), thumbnail)

    with open_journal(folder, PictureResult, settings, resume=resume, name=FILE_NAME) as journal:
        before = {} if journal is None else journal.done
        if thumbnails is not None:
            if not before:
                thumbnails.clear()
            for one in before.values():
                thumbnails.count(one.id, _rank(one, task))
        results, provenance = collect(
            segmenter,
            [sample for sample in photos if sample.id not in before],
            partial(_measured, task=task),
            [sample.id for sample in photos],
            journal=journal, jobs=jobs, progress=progress, keep=keep,
        )  # fmt: skip
    if provenance is None:  # a set has at least one photo
        raise InputError(f"{photos.name}/{photos.split} has no photos; choose some")
    return [results[sample.id] for sample in photos], provenance


def _measured(
    segmenter: Callable[..., Segmentation], sample: Sample, task: PictureTask
) -> list[Outcome[PictureResult]]:
    return [measure_picture(segmenter, sample, task)]


def _rank(result: PictureResult, task: PictureTask) -> float:
    return picture_iou(result.areas(len(task.classes), len(task.columns)))


def _score(
    photos: SemanticDataset,
    task: PictureTask,
    words: Sequence[str],
    pictures: Sequence[PictureResult],
    provenance: Provenance,
) -> Evaluation:
    classes, ignore = len(photos.classes), photos.ignore_index
    matrix = ConfusionMatrix(classes, ignore_index=ignore, num_predicted=len(task.columns))
    boundary = BoundaryScore(classes, ignore_index=ignore)
    bands = BoundaryIoU(classes, ignore_index=ignore)
    for one in pictures:
        matrix.add_counts(one.cells, one.counts)
        for total, rows in ((boundary.total, one.boundary), (bands.total, one.bands)):
            for index, *counts in rows:
                total[index] += counts
    score = score_set(
        matrix, boundary, bands, photos.classes, tuple(words), photos.background_index
    )
    groups: Any = photos.groups
    split = groups if {"base", "novel"} <= set(groups) else None
    return Evaluation(
        name=photos.name,
        title=photos.title,
        split=photos.split,
        ids=tuple(sample.id for sample in photos),
        classes=photos.classes,
        background_index=photos.background_index,
        asked=task.asked,
        background=task.background,
        score=score,
        seconds=float(np.median([one.seconds for one in pictures])),
        provenance=provenance,
        matrix=matrix,
        groups=split and base_novel(matrix.iou(), split["base"], split["novel"]),
        pictures=tuple(pictures),
    )
