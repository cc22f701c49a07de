"""One picture of an evaluation: segmented, counted, drawn; what came out is a line of JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets import Sample, SemanticDataset
from lexiseg.device import peak_memory, reset_peak_memory
from lexiseg.errors import InputError, OptionError
from lexiseg.evaluation.collecting import drawing_path
from lexiseg.methods._base import BaseSegmenter
from lexiseg.metrics import boundary_counts, boundary_iou_counts, confusion
from lexiseg.prompts import Vocabulary
from lexiseg.results import Provenance, Segmentation

__all__ = ["Background", "PictureResult", "PictureTask", "column_words", "measure_picture"]

Background = str | Sequence[str] | None
Segment = Callable[..., Segmentation]

_THUMBNAIL = 220  # pixels, of a picture's longer side


@dataclass(frozen=True, eq=False)
class PictureTask:
    """What is the same for every picture of a run; a worker process gets it once.

    classes: the set's names. asked: the words, in the order in which they are asked. columns: from
    a label map's values, -1 (no word) first, to predicted indices; no word is the last one.
    visualizations, predictions: folders for drawings and label maps. thumbnails: draw small ones.
    """

    classes: tuple[str, ...]
    asked: tuple[str, ...]
    columns: NDArray[np.intp]
    background: Background
    background_index: int | None
    ignore_index: int
    visualizations: Path | None = None
    predictions: Path | None = None
    thumbnails: bool = False


@dataclass(frozen=True)
class PictureResult:
    """The counts of one picture, and what it took.

    cells, counts: as ``ConfusionMatrix.counts_of``. boundary: rows of class and the four counts of
    ``boundary_counts``; bands: rows of class and the two of ``boundary_iou_counts``. seconds: of
    the segmenter. stages: seconds of each stage of the run, and of the method as "segment.score";
    cpu: seconds of the processor in each stage of the run, of all threads, which other programs on
    the machine hardly change. memory: bytes that the process held at most in each stage of the run,
    where the system tells.
    """

    id: str
    cells: tuple[int, ...]
    counts: tuple[int, ...]
    boundary: tuple[tuple[int, ...], ...]
    bands: tuple[tuple[int, ...], ...]
    seconds: float
    stages: dict[str, float]
    cpu: dict[str, float]
    memory: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> PictureResult:
        """Return what `to_json` gave; raises KeyError and TypeError for anything else."""
        rows = {key: tuple(tuple(row) for row in fields[key]) for key in ("boundary", "bands")}
        lists = {key: tuple(fields[key]) for key in ("cells", "counts")}
        return cls(**{**fields, **rows, **lists})

    def areas(self, num_classes: int, num_predicted: int) -> NDArray[np.int64]:
        """Return hits, true and predicted pixels of each class, (C, 3)."""
        true, pred = np.divmod(np.array(self.cells, np.int64), num_predicted)
        counts = np.array(self.counts, np.int64)
        out = np.zeros((num_classes, 3), np.int64)
        np.add.at(out[:, 0], true[true == pred], counts[true == pred])
        np.add.at(out[:, 1], true, counts)
        np.add.at(out[:, 2], pred[pred < num_classes], counts[pred < num_classes])
        return out


def column_words(
    photos: SemanticDataset, words: Sequence[str] | None, extra_words: Sequence[str]
) -> list[str]:
    """Return the words of the predicted indices: the classes', then the extra ones.

    Raises OptionError where there is not one word a class, each its own.
    """
    chosen = list(photos.classes if words is None else words)
    if len(chosen) != len(photos.classes):
        raise OptionError(
            f"{len(chosen)} words for the {len(photos.classes)} classes of {photos.name}; "
            "give one for each, in order"
        )
    if photos.background_index is not None:
        chosen[photos.background_index] = "background"
    own = [word.casefold() for word in chosen]
    for word in chosen:
        if own.count(word.casefold()) > 1:
            raise OptionError(f"the word {word!r} stands for two classes; give each its own")
    extra = {word.casefold(): word for word in extra_words if word.casefold() not in own}
    return [*chosen, *extra.values()]


def _segment_flat(segmenter: Segment, rgb: NDArray[np.uint8], task: PictureTask) -> Segmentation:
    """All words compete, as annotators gave each pixel one class."""
    asked = list(task.asked)
    if not isinstance(segmenter, BaseSegmenter):
        return segmenter(rgb, asked, background=task.background)
    default = segmenter.config.background
    words = Vocabulary.parse(
        asked, background=task.background, default_background=default, flat=True
    )
    return segmenter(rgb, replace(words, phrases=False))  # classes are names


def measure_picture(
    segmenter: Segment, sample: Sample, task: PictureTask
) -> tuple[PictureResult, Provenance, NDArray[np.uint8] | None]:
    """Segment one picture and count; return the counts, how they came about, and a thumbnail.

    Raises InputError for a label map or mask that does not fit, and what reading or segmenting
    raises.
    """
    stage = _Stages()
    with stage("read"):
        rgb = imaging.read(sample.path).rgb
        truth = sample.labels(rgb.shape[:2])
    with stage("segment"):
        result = _segment_flat(segmenter, rgb, task)
    classes, ignore = len(task.classes), task.ignore_index
    with stage("count"):
        pred = _predicted(result, truth.shape, task.columns, sample.id)
        counts = confusion(pred, truth, classes, ignore, num_predicted=len(task.columns)).ravel()
        cells = np.flatnonzero(counts)
        outlines = boundary_counts(pred, truth, classes, ignore)
        bands = boundary_iou_counts(pred, truth, classes, ignore)
    with stage("draw"):
        thumbnail = _draw(rgb, truth, pred, sample, task)
    within = {f"segment.{name}": value for name, value in result.provenance.seconds.items()}
    picture = PictureResult(
        id=sample.id,
        cells=tuple(cells.tolist()),
        counts=tuple(counts[cells].tolist()),
        boundary=_rows(outlines),
        bands=_rows(bands),
        seconds=round(stage.seconds["segment"], 5),
        stages={name: round(value, 5) for name, value in {**stage.seconds, **within}.items()},
        cpu={name: round(value, 5) for name, value in stage.cpu.items()},
        memory=stage.memory,
    )
    # What is the same for every picture: settings and weights.
    settings = replace(result.provenance, seconds={}, prompts=None, notes=())
    return picture, settings, thumbnail


class _Stages:
    """Seconds, also of the processor, and the most memory held, of the stages of a picture."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self.memory: dict[str, int] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        fresh = reset_peak_memory()
        started, work = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = time.perf_counter() - started
        self.cpu[name] = time.process_time() - work
        held = peak_memory() if fresh else None
        if held is not None:
            self.memory[name] = held


def _predicted(
    result: Segmentation, size_hw: tuple[int, ...], columns: NDArray[np.intp], photo: str
) -> NDArray[np.intp]:
    """Return the label map with a predicted index in place of the asked word's, (H, W)."""
    if result.label_map.shape != size_hw:
        swapped = (
            "; height and width are swapped" if result.label_map.shape[::-1] == size_hw else ""
        )
        raise InputError(
            f"photo {photo} is {size_hw} (height, width) and its label map "
            f"{result.label_map.shape}{swapped}; a segmenter answers at the photo's own size"
        )
    if len(result.words) != len(columns) - 1:
        raise InputError(
            f"photo {photo} was asked for {len(columns) - 1} words and answered for "
            f"{len(result.words)}; a segmenter answers for the asked words, in order"
        )
    return columns[result.label_map.astype(np.intp) + 1]


def _rows(counts: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    """The rows that are not all 0, each after its index."""
    return tuple((int(i), *counts[i].tolist()) for i in np.flatnonzero(counts.any(1)))


def _draw(
    rgb: NDArray[np.uint8],
    truth: NDArray[np.integer],
    pred: NDArray[np.intp],
    sample: Sample,
    task: PictureTask,
) -> NDArray[np.uint8] | None:
    """Write the drawing and the label map that are wanted; return a thumbnail if that is."""
    if task.predictions is not None:
        last = len(task.columns) - 1
        kind, nothing = (np.uint8, 255) if last < 255 else (np.uint16, 65535)
        labels = np.where(pred == last, nothing, pred).astype(kind)
        imaging.write(drawing_path(task.predictions, sample.id), labels)
    if task.visualizations is None and not task.thumbnails:
        return None
    from lexiseg.visualize import comparison

    sides = (rgb, truth, pred, task.classes, task.ignore_index)
    ground = task.background_index
    if task.visualizations is not None:
        sheet = comparison(*sides, background=ground)
        imaging.write(drawing_path(task.visualizations, sample.id), sheet)
    if not task.thumbnails:
        return None
    return comparison(*sides, background=ground, side=_THUMBNAIL, columns=4, legend=False)
