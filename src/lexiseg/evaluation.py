"""Measure a segmenter on a data set: whole pictures, the set's own words, sums over the set."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets import SemanticDataset, open_set
from lexiseg.errors import InputError, OptionError, OutputError
from lexiseg.metrics import BoundaryIoU, BoundaryScore, ConfusionMatrix
from lexiseg.metrics.report import SetScore, score_set
from lexiseg.results import Provenance, Segmentation

__all__ = ["Evaluation", "evaluate"]

Background = str | Sequence[str] | None


@dataclass(frozen=True)
class Evaluation:
    """What was measured, on what, and how.

    `asked` are the words in the order in which they were asked, `background` what was handed to
    the segmenter beside them. `seconds` is the median time of one picture, reading it aside.
    `matrix` holds the counts of every photo, in the order of `ids`; `provenance` is that of the
    last picture's result.
    """

    name: str
    title: str
    split: str
    ids: tuple[str, ...]
    asked: tuple[str, ...]
    background: Background
    score: SetScore
    seconds: float
    provenance: Provenance
    matrix: ConfusionMatrix

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, all but the counts of single photos."""
        return {
            "set": self.name,
            "title": self.title,
            "split": self.split,
            **self.score.to_json(),
            "seconds_per_picture": round(self.seconds, 4),
            "asked": list(self.asked),
            "background": self.background,
            "provenance": self.provenance.to_json(),
        }

    def summary(self) -> str:
        """Return a text of lines for people."""
        how = f"{self.provenance.method} on {self.name}/{self.split}: {self.title}"
        speed = f"{len(self.ids)} photos, {1000 * self.seconds:.0f} ms a picture (median)"
        return f"{how}\n{speed}\n\n{self.score.summary()}"


def evaluate(
    segmenter: Callable[..., Segmentation],
    data: str | Path | SemanticDataset,
    *,
    split: str = "val",
    limit: int | None = None,
    out: str | Path | None = None,
    words: Sequence[str] | None = None,
    extra_words: Sequence[str] = (),
    shuffle: int | None = None,
    background: Background = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Segment every photo of a split by the set's own words and compare the label maps.

    segmenter: takes (image, words, *, background) and returns a Segmentation, as `load` gives.
    data: the folder of a data set in the plain layout (then `split` counts), or an open one.
    limit: only the first photos; "absent" and "photos" then mean among these.
    out: a folder for results.json and summary.txt.
    words: other words for the classes, in the classes' order; names as they stand otherwise.
    extra_words: more words to compete; no pixel is one, so what is given to them is wrong. Those
        that are words of the classes already are left out.
    shuffle: a seed; the words are asked in that random order.
    background: handed to the segmenter. "auto": "default" where the set has a background, else
        None, so that every pixel gets a word. The class of the background is always asked as the
        literal word "background".

    Raises InputError for a data set or label map that does not fit, and whatever reading a photo
    or the segmenter raises.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"limit is {limit}; give at least 1 photo")
    folder = None if out is None else _make_folder(Path(out))
    photos = data if isinstance(data, SemanticDataset) else open_set(data, split)
    if limit is not None:
        photos = photos.first(limit)
    if not len(photos):
        raise InputError(f"{photos.name}/{photos.split} has no photos; choose some")
    column_words = _column_words(photos, words, extra_words)
    order = np.arange(len(column_words))
    if shuffle is not None:
        order = np.random.default_rng(shuffle).permutation(order)
    asked = [column_words[column] for column in order]
    if background == "auto":
        background = None if photos.background_index is None else "default"
    elif background is not None and not isinstance(background, str):
        background = tuple(background)
    # From a label map's values, -1 (nothing) first, to columns; nothing is the last column.
    columns = np.concatenate([[len(asked)], order])
    classes, ignore = len(photos.classes), photos.ignore_index
    matrix = ConfusionMatrix(classes, ignore_index=ignore, num_predicted=len(columns))
    boundary = BoundaryScore(classes, ignore_index=ignore)
    bands = BoundaryIoU(classes, ignore_index=ignore)
    seconds: list[float] = []
    for done, sample in enumerate(photos, start=1):
        rgb = imaging.read(sample.path).rgb
        truth = sample.labels(rgb.shape[:2])
        started = time.perf_counter()
        result = segmenter(rgb, asked, background=background)
        seconds.append(time.perf_counter() - started)
        pred = _columns_of(result, truth.shape, columns, sample.id)
        matrix.add(pred, truth)
        boundary.add(pred, truth)
        bands.add(pred, truth)
        if progress is not None:
            progress(done, len(photos))
    score = score_set(
        matrix, boundary, bands, photos.classes, tuple(column_words), photos.background_index
    )
    evaluation = Evaluation(
        name=photos.name,
        title=photos.title,
        split=photos.split,
        ids=tuple(sample.id for sample in photos),
        asked=tuple(asked),
        background=background,
        score=score,
        seconds=float(np.median(seconds)),
        provenance=result.provenance,
        matrix=matrix,
    )
    if folder is not None:
        text = json.dumps(evaluation.to_json(), indent=1, ensure_ascii=False) + "\n"
        imaging.write_text(folder / "results.json", text)
        imaging.write_text(folder / "summary.txt", evaluation.summary())
    return evaluation


def _column_words(
    photos: SemanticDataset, words: Sequence[str] | None, extra_words: Sequence[str]
) -> list[str]:
    """Return the words of the predicted indices: the classes', then the extra ones."""
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


def _columns_of(
    result: Segmentation, size_hw: tuple[int, ...], columns: NDArray[np.intp], photo: str
) -> NDArray[np.intp]:
    """Return the label map with a column index in place of the asked word's, (H, W)."""
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


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be made ({error.strerror}); give another"
        ) from error
    return folder
