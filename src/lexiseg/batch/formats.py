"""The results of a run in other programs' formats, a folder a format, made when all is done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lexiseg.batch.plan import Entry
from lexiseg.batch.work import Record
from lexiseg.export.annotated import Annotated
from lexiseg.export.format import PictureFormat
from lexiseg.export.registry import get_format
from lexiseg.export.source import Source
from lexiseg.planning import RESULT, picture_path

__all__ = ["check", "write"]

Pairs = Iterable[tuple[Entry, Record]]


def check(names: Sequence[str]) -> None:
    """Raise UnknownName where a format is not there."""
    for name in names:
        get_format(name)


def write(name: str, pairs: Pairs, out: Path, base: str) -> list[str]:
    """Write all results in a format, to its folder in `out`; return what was lost, to be said.

    base: the folder to which names of pictures are relative. Raises InputError, OutputError.
    """
    form = get_format(name)
    written = form.write(_results(pairs, out, base), out / form.name)
    return [f"{form.name}: {note}" for note in written.notes]


def _results(pairs: Pairs, out: Path, base: str) -> Iterator[Annotated]:
    """The results of pictures, as they lie in their folders."""
    form = get_format("lexiseg")
    assert isinstance(form, PictureFormat)
    stems: set[str] = set()
    for entry, record in pairs:
        if record.folder is None or entry.picture is None:
            continue
        name = picture_path(os.path.abspath(entry.picture.path), base or os.curdir)
        stem, ending = os.path.splitext(name)
        if stem.casefold() in stems:  # formats call files by it
            name = record.folder + ending
        stems.add(stem.casefold())
        found = form.read_file(Source(out / record.folder / RESULT), name)
        yield replace(found, file_name=name, photo=Path(entry.picture.path), stem="")
