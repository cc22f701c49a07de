"""The work on one picture in three stages, so that they can overlap: read, find and edit, write."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lexiseg import imaging
from lexiseg.batch import outputs
from lexiseg.batch.plan import Task
from lexiseg.batch.remote import Store, fetched, is_remote
from lexiseg.edit import EditResult, wanted_model
from lexiseg.edit.generative import load_inpainter
from lexiseg.edit.steps import EditStep, run_steps
from lexiseg.errors import NothingFound
from lexiseg.export import result_json
from lexiseg.imaging import Picture
from lexiseg.masks import Masks
from lexiseg.planning import RESULT, EditPlaces, OutputFolder
from lexiseg.protocols import Inpainter, LoadOptions, View
from lexiseg.results import Segmentation

__all__ = [
    "DONE", "FAILED", "NOT_FOUND", "Found", "Recipe", "Record", "Worker", "failure", "is_there",
    "stamp_of",
]  # fmt: skip

DONE, NOT_FOUND, FAILED = "done", "not found", "failed"
_THUMBNAIL = 180  # pixels, of a picture's longer side
_QUALITY = 80


@dataclass(frozen=True)
class Recipe:
    """What is the same for every picture of a run.

    workshop: where files are made before they are moved into their places. kinds: see
    `outputs.KINDS`. numbered: an edit may give several pictures. options: where networks of edits
    compute. store: the address to which results are sent, and not kept in `out`.
    """

    out: Path
    workshop: Path
    kinds: tuple[str, ...]
    max_pixels: int | None = None
    thumbnails: bool = True
    numbered: bool = False
    options: LoadOptions = field(default_factory=LoadOptions)
    store: str | None = None


@dataclass(frozen=True)
class Record:
    """What a run keeps of one picture: all that tables and the contact sheet are made of.

    status: DONE, NOT_FOUND (words of an edit) or FAILED. stamp: size and time of the picture's
    file. folder, files: of the results and of the edit, relative to the output folder, "/" between
    parts. words: those asked; found: the pixels' share of those found. instances: as in
    result.json, with "colour", the mean of its pixels. thumbnail: a JPEG in base 64.
    """

    key: str
    status: str
    error: str = ""
    stamp: tuple[int, int] = (0, 0)
    folder: str | None = None
    files: tuple[str, ...] = ()
    size_hw: tuple[int, int] = (0, 0)
    words: tuple[str, ...] = ()
    found: dict[str, float] = field(default_factory=dict)
    instances: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    thumbnail: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dict(vars(self))  # its values are plain ones

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Record:
        """Return what `to_json` gave; raises KeyError and TypeError for anything else."""
        lists = {name: tuple(values[name]) for name in _TUPLES}
        return cls(**{**values, **lists})


_TUPLES = ("stamp", "files", "size_hw", "words", "instances", "notes")


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in a picture, and the edit of it; where neither is, why."""

    seg: Segmentation
    view: View[Any] | None
    edit: EditResult | None
    reason: str = ""


class Worker:
    """Does tasks with a segmenter; the three stages of several tasks may overlap."""

    def __init__(self, segmenter: Any, recipe: Recipe) -> None:
        self.segmenter = segmenter
        self.recipe = recipe
        self._places = EditPlaces(OutputFolder(recipe.out, ()), numbered=recipe.numbered)
        self._networks: dict[str, Inpainter] = {}
        self._store = None if recipe.store is None else Store(recipe.store, recipe.out)

    def read(self, task: Task) -> Picture:
        """Read a picture. Raises PictureError."""
        limit = self.recipe.max_pixels
        given = {} if limit is None else {"max_pixels": limit}
        name = task.source.real
        if not is_remote(name):
            return imaging.read(task.source.source, **given)
        with fetched(name) as copy:
            return replace(imaging.read(copy, **given), path=Path(name))

    def find(self, task: Task, picture: Picture) -> Found:
        """Find the words in a picture, and edit it. Raises whatever segmenter and edits raise."""
        request = task.request
        outputs.check_method(self.segmenter, request.clicks)
        words = request.vocabulary(getattr(self.segmenter, "config", None))
        given = {"background": request.background}
        seg, view = outputs.segment_picture(self.segmenter, picture, words, given, request.clicks)
        # How long it took is another every time; results of a batch are not.
        seg = replace(seg, provenance=replace(seg.provenance, seconds={}))
        if task.edit is None:
            return Found(seg, view, None)
        transparent = any(step.makes_transparent for step in request.steps)
        imaging.check_target(picture, task.edit.target, transparent=transparent)
        try:
            return Found(seg, view, run_steps(picture, seg, self._ready(request.steps)))
        except NothingFound as error:
            return Found(seg, view, None, str(error))

    def write(self, task: Task, picture: Picture, found: Found) -> Record:
        """Write what was found; return the record of it. Raises OutputError."""
        seg, workshop = found.seg, self.recipe.workshop
        folder, files, sent = None, [], list[Path]()
        jobs = self._jobs(task)
        if task.folder is not None:
            _sweep(task.folder.target)
            everything = None
            if found.view is not None and "overlay" in self.recipe.kinds:
                everything = self.segmenter.all_masks(found.view)
            document = outputs.write_results(
                jobs[0], picture, seg, seg.words,
                kinds=self.recipe.kinds, everything=everything, workshop=workshop,
            )  # fmt: skip
            folder = self._relative(task.folder.target)
            sent.append(task.folder.target)
        else:
            document = result_json(seg, picture=picture)
        if task.edit is not None and found.edit is not None:
            written = outputs.write_edit(jobs[1], found.edit, self._places, workshop)
            files = [self._relative(path) for path in written]
            sent += written
        self._send(sent)
        shown = picture if found.edit is None else found.edit.picture
        return Record(
            key=task.key,
            status=NOT_FOUND if found.reason else DONE,
            error=found.reason,
            stamp=stamp_of(task.source.real),
            folder=folder,
            files=tuple(files),
            size_hw=seg.size_hw,
            words=seg.words,
            found={word: round(seg.share(word), 6) for word in seg.found},
            instances=tuple(_with_colours(document["instances"], seg.masks, picture)),
            notes=picture.notes,
            thumbnail=_thumbnail(shown, seg if found.edit is None else None)
            if self.recipe.thumbnails
            else "",
            provenance={k: v for k, v in document["provenance"].items() if k not in _OF_ONE},
        )

    def _jobs(self, task: Task) -> tuple[Any, Any]:
        """The places of a task; what is sent away tells of a picture by its address."""
        if self._store is None or is_remote(task.source.real):
            return task.folder, task.edit
        address = Path(task.source.real).as_uri()
        folder, edit = (job and replace(job, real=address) for job in (task.folder, task.edit))
        return folder, edit

    def _send(self, paths: Sequence[Path]) -> None:
        """Send results to the store, if there is one, and keep none here."""
        for path in paths if self._store is not None else ():
            assert self._store is not None
            self._store.send(path)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.recipe.out).as_posix()

    def _ready(self, steps: Sequence[EditStep]) -> list[EditStep]:
        """The steps, the network of each loaded where it needs one; each network once."""
        out = []
        for step in steps:
            model = wanted_model(step.config)
            if isinstance(model, str | Path):
                if str(model) not in self._networks:
                    network = load_inpainter(model, self.recipe.options)
                    self._networks[str(model)] = network
                config: Any = step.config
                config = replace(config, model=self._networks[str(model)])
                step = replace(step, config=config)
            out.append(step)
        return out


_OF_ONE = ("seconds", "prompts", "notes")  # of a provenance, what is another for each picture


def stamp_of(path: str) -> tuple[int, int]:
    """Return the size in bytes of a file and when it was changed, in ns; zeros where it is not."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return (0, 0)
    return found.st_size, found.st_mtime_ns


def failure(task: Task, error: str) -> Record:
    """Return the record of a picture that could not be done."""
    return Record(task.key, FAILED, error, stamp_of(task.source.real))


def is_there(record: Record, out: Path) -> bool:
    """Whether the results of a record still lie where they were written."""
    folder = record.folder
    files = [out / name for name in record.files]
    return all(path.is_file() for path in files) and (
        folder is None or (out / folder / RESULT).is_file()
    )


def _sweep(folder: Path) -> None:
    """Take away what a kill left in a folder of results, before they are written anew."""
    if folder.is_dir():
        for path in folder.glob(".lexiseg-*.tmp"):
            path.unlink(missing_ok=True)


def _with_colours(
    instances: Sequence[dict[str, Any]], masks: Masks, picture: Picture
) -> list[dict[str, Any]]:
    """Instances with the mean colour of their pixels."""
    boxes = masks.boxes_xyxy.tolist()
    out = []
    for i, instance in enumerate(instances):
        x0, y0, x1, y1 = boxes[i]
        inside = masks.crop(i)
        part = picture.rgb[y0:y1, x0:x1]
        sums = [int(part[..., c].sum(where=inside, dtype=np.int64)) for c in range(3)]
        area = max(1, int(masks.areas[i]))
        red, green, blue = ((2 * value + area) // (2 * area) for value in sums)
        out.append({**instance, "colour": f"#{red:02x}{green:02x}{blue:02x}"})
    return out


def _thumbnail(picture: Picture, seg: Segmentation | None) -> str:
    """A small drawing, a JPEG in base 64: the picture, tinted by what was found."""
    import cv2

    from lexiseg.visualize import palette

    height, width = picture.size_hw
    factor = min(1.0, _THUMBNAIL / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(picture.rgb, size, interpolation=cv2.INTER_AREA)
    if seg is not None and seg.words:
        labels = seg.label_map
        rows = (np.arange(size[1]) * height) // size[1]
        columns = (np.arange(size[0]) * width) // size[0]
        values = labels[rows[:, None], columns]
        colours = np.concatenate([palette(seg.words, seg.found), np.zeros((1, 3), np.uint8)])
        tinted = cv2.addWeighted(small, 0.5, colours[values], 0.5, 0.0)
        small = np.where((values >= 0)[..., None], tinted, small)
    done, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return base64.b64encode(data.tobytes()).decode("ascii") if done else ""
