"""What every kind of run does: measure what is left, one by one or in processes, and keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.errors import OptionError
from lexiseg.evaluation.journal import Journal, Record
from lexiseg.evaluation.workers import measure_all
from lexiseg.results import Provenance

__all__ = ["Outcome", "check_folder", "collect", "draw_binary", "drawing_path", "open_journal"]

Kept = TypeVar("Kept", bound=Record)
Unit = TypeVar("Unit")
# Of each thing that was measured: its record, how it came about, and a drawing, where there is one.
Outcome = tuple[Kept, Provenance | None, NDArray[np.uint8] | None]
Pixels = NDArray[np.uint8]


def check_folder(out: Path | None, *, resume: bool, save_vis: bool) -> None:
    """Raise OptionError for what needs a folder of results, without one."""
    for name, wanted in (("resume", resume), ("save_vis", save_vis)):
        if wanted and out is None:
            raise OptionError(f"{name} needs a folder of results; give out")


@contextmanager
def open_journal(
    out: Path | None, record: type[Kept], settings: Mapping[str, Any], *, resume: bool, name: str
) -> Iterator[Journal[Kept] | None]:
    """The journal of a run in the folder `out`, closed in the end; None without a folder."""
    if out is None:
        yield None
        return
    journal = Journal(out, record, settings, resume=resume, name=name)
    try:
        yield journal
    finally:
        journal.close()


def collect(
    segmenter: Callable[..., Any],
    units: Iterable[Unit],
    measure: Callable[[Callable[..., Any], Unit], Sequence[Outcome[Kept]]],
    ids: Sequence[str],
    *,
    journal: Journal[Kept] | None,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    keep: Callable[[Kept, Pixels | None], None] | None = None,
) -> tuple[dict[str, Kept], Provenance | None]:
    """Measure units; return every record by its id, those of the journal too, and their making.

    units: what is not in the journal yet. measure: gives the records of a unit; with several jobs
    it must be picklable. ids: of all records of the run. keep: called with each new record and
    its drawing, before the record is written.
    """
    results: dict[str, Kept] = {} if journal is None else dict(journal.done)
    provenance = None if journal is None else journal.provenance
    done = sum(one in results for one in ids)
    if progress is not None and done:
        progress(done, len(ids))
    for outcomes in measure_all(segmenter, list(units), measure, jobs):
        for record, made, drawing in outcomes:
            if keep is not None:
                keep(record, drawing)
            provenance = made or provenance
            if journal is not None and provenance is not None:
                journal.append(record, provenance)
            results[record.id] = record
            done += 1
            if progress is not None:
                progress(done, len(ids))
    return results, provenance


def draw_binary(
    folder: Path,
    name: str,
    rgb: Pixels,
    truth: NDArray[np.bool_],
    found: NDArray[np.bool_],
    what: str,
    ignored: NDArray[np.bool_] | None = None,
) -> None:
    """Write folder/NAME.png: a photo, where something is, what was answered, and the errors."""
    from lexiseg.visualize import comparison

    labels = truth.astype(np.int32)
    if ignored is not None:
        labels[ignored] = 255
    sheet = comparison(rgb, labels, found.astype(np.int32), ("", what), background=0)
    imaging.write(drawing_path(folder, name), sheet)


def drawing_path(folder: Path, name: str) -> Path:
    """The PNG of a record; ids of splits that join folders hold slashes."""
    return folder.joinpath(*f"{name}.png".split("/"))
