"""Two runs on the same photos: what one is better at, and whether that could be chance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import InputError
from lexiseg.evaluation.html import image, page
from lexiseg.evaluation.result import picture_iou
from lexiseg.metrics import draw_weights, interval, resample
from lexiseg.metrics.report import MIN_PHOTOS, Estimate, count_of, json_value

__all__ = [
    "ClassDifference", "Comparison", "Difference", "compare_runs", "read_runs", "report",
]  # fmt: skip

_SHOWN = 8  # photos, of those that differ most
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """A number of two runs; difference: the second's less the first's, with its 95 % interval.

    second_better: the share of resampled sets in which the second is better.
    """

    first: float
    second: float
    difference: Estimate
    second_better: float

    @property
    def verdict(self) -> str:
        """Which run is better, as far as the interval says: "first", "second" or "open"."""
        if self.difference.low > 0:
            return "second"
        return "first" if self.difference.high < 0 else "open"


@dataclass(frozen=True)
class ClassDifference:
    """The IoU of one class in both runs."""

    name: str
    photos: int
    iou: Difference


@dataclass(frozen=True)
class Comparison:
    """Two runs on one data set, over the photos that both have.

    mean_iou is over the mean_classes classes in at least five of these photos, background aside.
    photos_won, photos_lost: photos on which the second has the larger, the smaller mean IoU of the
    classes that the photo holds. most_changed: photos with that difference, the largest first.
    """

    name: str
    first: str
    second: str
    photos: int
    left_out: int
    mean_classes: int
    mean_iou: Difference
    pixel_accuracy: Difference
    mean_accuracy: Difference
    classes: tuple[ClassDifference, ...]
    photos_won: int
    photos_lost: int
    most_changed: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain: dict[str, Any] = json_value(asdict(self))
        return plain

    def summary(self) -> str:
        """Return a text of lines for people."""
        lines = [
            f"{self.name}: {self.photos} photos"
            + (f" ({self.left_out} are in one of the runs only)" if self.left_out else ""),
            f"first   {self.first}",
            f"second  {self.second}",
            "",
            f"{'':<16} {'first':>6} {'second':>7}   second - first, points",
        ]
        for name, one in (
            ("mean IoU", self.mean_iou),
            ("pixel accuracy", self.pixel_accuracy),
            ("mean accuracy", self.mean_accuracy),
        ):
            lines.append(f"{name:<16} {_row(one)}")
        enough = [one.iou for one in self.classes if one.photos >= MIN_PHOTOS]
        won = sum(one.verdict == "second" for one in enough)
        lost = sum(one.verdict == "first" for one in enough)
        lines += [
            "",
            f"mean IoU and mean accuracy are over {self.mean_classes} classes in at least "
            f"{MIN_PHOTOS} photos, background aside; intervals of 95 % come from drawing the "
            "photos anew, the same for both.",
            f"the second wins {count_of(self.photos_won, 'photo')} and loses {self.photos_lost}; "
            f"of {count_of(len(enough), 'class')} in at least {MIN_PHOTOS} photos, background "
            f"included, it wins {won} and loses {lost}.",
            "",
        ]
        width = max([len(one.name) for one in self.classes], default=5)
        lines.append(f"{'class':<{width}} photos  first  second   second - first, points")
        for kind in sorted(self.classes, key=lambda kind: -_known(kind.iou.difference.value)):
            few = kind.photos < MIN_PHOTOS
            lines.append(f"{kind.name:<{width}} {kind.photos:>6} {_row(kind.iou, few=few)}")
        return "\n".join(lines) + "\n"


def read_runs(path: str | Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the runs in a folder of `evaluate`, by the data set's name: folder and results.json.

    path: the folder, of one data set or several, or its results.json. Raises InputError.
    """
    path = Path(path)
    folder = path.parent if path.is_file() else path
    document = _read(folder / "results.json")
    if "pictures" in document:
        return {document["set"]: (folder, document)}
    sets = [one["set"] for one in document.get("sets", ())]
    return {name: (folder / name, _read(folder / name / "results.json")) for name in sets}


def compare_runs(
    first: Mapping[str, Any], second: Mapping[str, Any], *, samples: int = 2000, seed: int = 0
) -> Comparison:
    """Compare two runs, given what their results.json hold, by a paired bootstrap over photos.

    Raises InputError for runs on different sets, or without a photo in common.
    """
    if (first["set"], first["class_names"]) != (second["set"], second["class_names"]):
        raise InputError(
            f"the runs are on {first['set']!r} and {second['set']!r}, or on other classes; compare "
            "runs on one data set"
        )
    sides = [{one["id"]: one["counts"] for one in run["pictures"]} for run in (first, second)]
    ids = [name for name in sides[0] if name in sides[1]]
    if not ids:
        raise InputError(f"the runs on {first['set']!r} have no photo in common; measure the same")
    names = first["class_names"]
    counts = [_counts(side, ids, len(names)) for side in sides]
    for name, one, other in zip(ids, *counts, strict=True):
        if not np.array_equal(one[:, 1], other[:, 1]):
            raise InputError(
                f"the truth of photo {name!r} is not the same in both runs; measure both anew"
            )
    true = counts[0][:, :, 1]
    photos = np.count_nonzero(true, axis=0)
    counted = photos >= MIN_PHOTOS
    if first["background_index"] is not None:
        counted[first["background_index"]] = False
    weights = draw_weights(len(ids), samples=samples, seed=seed)
    iou = [_Resampled(c[:, :, 0], c[:, :, 1] + c[:, :, 2] - c[:, :, 0], weights) for c in counts]
    recall = [_Resampled(c[:, :, 0], true, weights) for c in counts]
    pixels = [_Resampled(c[:, :, 0].sum(1), true.sum(1), weights) for c in counts]
    changes = [picture_iou(other) - picture_iou(one) for one, other in zip(*counts, strict=True)]
    order = sorted(range(len(ids)), key=lambda i: (-abs(np.nan_to_num(changes[i])), ids[i]))
    return Comparison(
        name=first["set"],
        first=_label(first),
        second=_label(second),
        photos=len(ids),
        left_out=len(set(sides[0]) ^ set(sides[1])),
        mean_classes=int(counted.sum()),
        mean_iou=_difference(*(one.mean(counted) for one in iou)),
        pixel_accuracy=_difference(*(one.pair() for one in pixels)),
        mean_accuracy=_difference(*(one.mean(counted) for one in recall)),
        classes=tuple(
            ClassDifference(names[k], int(photos[k]), _difference(*(one.pair(k) for one in iou)))
            for k in np.flatnonzero(photos).tolist()
        ),
        photos_won=sum(change > 0 for change in changes),
        photos_lost=sum(change < 0 for change in changes),
        most_changed=tuple((ids[i], changes[i]) for i in order[:_SHOWN] if changes[i]),
    )


def report(found: Comparison, folders: tuple[Path, Path]) -> str:
    """Return a page with the numbers and, where both runs drew them, the photos that differ most.

    folders: of the two runs.
    """
    lines = found.summary().splitlines()
    body = [f"<h1>{escape(lines[0])}</h1>", f"<pre>{escape(chr(10).join(lines[1:]))}</pre>"]
    body.append("<h2>Photos that differ most</h2>")
    shown = 0
    for name, change in found.most_changed:
        paths = [folder.joinpath("visualizations", *f"{name}.png".split("/")) for folder in folders]
        if all(path.is_file() for path in paths):
            shown += 1
            cells = "".join(f"<td>{image(path, 700)}</td>" for path in paths)
            text = f"{name}: {100 * change:+.1f} points; first left, second right"
            body.append(
                f"<figure><table><tr>{cells}</tr></table><figcaption>{escape(text)}</figcaption>"
                "</figure>"
            )
    if not shown:
        names = ", ".join(f"{name} ({100 * change:+.1f})" for name, change in found.most_changed)
        body.append(
            f"<p class=note>{escape(names) or 'None differs.'}</p><p class=note>Runs with "
            "--save-vis are shown side by side here.</p>"
        )
    return page(f"two runs on {found.name}", body)


class _Resampled:
    """Ratios of sums over photos, of the set and of resampled ones; (N, ...) counts."""

    def __init__(self, part: Counts, whole: Counts, weights: Counts) -> None:
        self.values = resample(part, whole, np.ones((1, len(weights[0])), np.int64))[0]
        self.samples = resample(part, whole, weights)

    def pair(self, index: int | None = None) -> tuple[float, NDArray[np.float64]]:
        """One ratio of the set, and of each resampled one."""
        if index is None:
            return float(self.values), self.samples
        return float(self.values[index]), self.samples[:, index]

    def mean(self, counted: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
        """The mean over some classes."""
        both = np.concatenate([self.values[None], self.samples])[:, counted]
        known = np.isfinite(both)
        sums, count = np.where(known, both, 0).sum(1), known.sum(1)
        means = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
        return float(means[0]), means[1:]


def _difference(
    first: tuple[float, NDArray[np.float64]], second: tuple[float, NDArray[np.float64]]
) -> Difference:
    apart = second[1] - first[1]
    low, high = interval(apart)
    known = apart[np.isfinite(apart)]
    # Where both are equal neither is better.
    better = float(((known > 0) + 0.5 * (known == 0)).mean()) if len(known) else math.nan
    estimate = Estimate(second[0] - first[0], float(low), float(high))
    return Difference(first[0], second[0], estimate, better)


def _counts(side: Mapping[str, Any], ids: list[str], classes: int) -> Counts:
    """Hits, true and predicted pixels of each photo and class, (N, C, 3)."""
    out = np.zeros((len(ids), classes, 3), np.int64)
    for row, name in enumerate(ids):
        for index, *counts in side[name]:
            out[row, index] = counts
    return out


def _label(run: Mapping[str, Any]) -> str:
    made = run["provenance"]
    masker = made["masker"]
    models = (
        made["encoder"] if masker in (None, made["encoder"]) else f"{made['encoder']}, {masker}"
    )
    return f"{made['method']} with {models}" + (f": {run['command']}" if run["command"] else "")


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{str(path)!r} cannot be read ({error}); give a folder that `lexiseg evaluate --out` "
            "finished"
        ) from error
    if not isinstance(document, dict) or not {"pictures", "sets"} & set(document):
        raise InputError(f"{str(path)!r} holds no results of `lexiseg evaluate`; give another")
    return document


def _row(one: Difference, *, few: bool = False) -> str:
    """A line of a table; few: of too few photos for a verdict."""
    apart = one.difference
    if math.isnan(apart.value):
        return f"{'-':>6} {'-':>7}   -"
    low, high = 100 * apart.low, 100 * apart.high
    text = f"{100 * one.first:>6.1f} {100 * one.second:>7.1f}   {100 * apart.value:+.1f}"
    if math.isfinite(low):
        text += f" ({low:+.1f} to {high:+.1f})"
    return text + (f"  {one.verdict}" if one.verdict != "open" and not few else "")


def _known(value: float) -> float:
    return -math.inf if math.isnan(value) else value
