"""The plan of a run: every picture of its sources, what is asked of it, and where it all goes.

It is a function of the sources alone: which part of a run does a picture, and when, changes
nothing of what is written.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2s
from pathlib import Path
from typing import Any

from lexiseg.batch.data_sets import rows_of
from lexiseg.batch.outputs import possible_names
from lexiseg.batch.remote import fetched, is_remote, select_remote
from lexiseg.batch.requests import Defaults, Request, make_request
from lexiseg.batch.tables import SUFFIXES, Row, read_list, read_table
from lexiseg.datasets.catalogue import AnyDataset
from lexiseg.errors import InputError, LexisegError
from lexiseg.planning import (
    EditPlaces,
    Job,
    OutputFolder,
    Selected,
    common_parent,
    edit_ending,
    plan_edits,
    plan_folders,
    select_pictures,
)
from lexiseg.prompts import Vocabulary

__all__ = ["Entry", "Plan", "Task", "is_table", "make_plan", "read_sources", "wants_masks"]


@dataclass(frozen=True)
class Entry:
    """A picture of a run: its name as the source gives it, where it lies, and what is asked.

    extra: what a table says of it beside that. error: why it cannot be done, or empty.
    """

    name: str
    picture: Selected | None = None
    request: Request | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Task:
    """A picture that can be done: its number in the plan, and its places.

    key: what tells the task from any other, so that a run knows what is done. folder: of results,
    or None; edit: the edited picture's file, or None; one of them is there.
    """

    number: int
    key: str
    name: str
    request: Request
    folder: Job | None
    edit: Job | None

    @property
    def source(self) -> Job:
        """The job by which the picture is read."""
        job = self.folder or self.edit
        assert job is not None
        return job


@dataclass
class Plan:
    """All pictures, in order. tasks: by number, of those that can be done.

    base: the folder below which the pictures lie as the results do. remarks: to be said once.
    """

    entries: list[Entry]
    tasks: dict[int, Task]
    base: str
    remarks: list[str] = field(default_factory=list)


def is_table(name: str) -> bool:
    """Whether a name is that of a table, by its ending, or of stdin ("-")."""
    return name == "-" or (name.lower().endswith(SUFFIXES) and not os.path.isdir(name))


def wants_masks(table: str) -> bool:
    """Whether a table asks for edits, points or boxes, which are for methods with a mask model.

    Of stdin that is not known before it is read.
    """
    if table == "-":
        return False
    asked = ("operation", "points", "boxes", "not_points")
    return any(name in row.given for row in _read_table(table) for name in asked)


def read_sources(
    sources: Sequence[str],
    defaults: Defaults,
    remarks: list[str],
    data: Sequence[AnyDataset] = (),
) -> list[Entry]:
    """Return the pictures of folders, patterns, files, tables and data sets, in this order.

    data: open sets; their own words are asked where ``defaults`` name none. remarks: gets
    what was passed over. Raises InputError where nothing can be done.
    """
    names = [name for name in sources if not is_table(name)]
    entries: list[Entry] = []
    for name in (one for one in sources if is_table(one)):
        home = os.curdir if name == "-" else os.path.dirname(name)
        listed = read_list(sys.stdin.read(), "stdin") if name == "-" else _read_table(name)
        rows = [one for one in listed if isinstance(one, Row)]
        names += [one for one in listed if isinstance(one, str)]
        entries += [_of_row(row, home, defaults) for row in rows]
    if names:
        entries[:0] = _of_names(names, defaults, remarks)
    for one in data:
        rows = rows_of(one, words=not (defaults.words or defaults.like))
        entries += [_of_row(row, os.curdir, defaults) for row in rows]
    if not entries:
        raise InputError(f"there is no picture in {', '.join(map(repr, sources))}; check it")
    return entries


def make_plan(
    entries: Sequence[Entry],
    out: Path,
    config: Any,
    *,
    reads: Iterable[str] = (),
    reserved: Iterable[str] = (),
    both: bool = False,
) -> Plan:
    """Return the plan of pictures. Raises OutputError where a place for one is not free.

    config: the method's. reads: further files that the run reads. reserved: names in `out` that the
    run itself gives. both: results are written of pictures that are edited, too.
    """
    asked: set[tuple[str, ...]] = set()
    checked = [_checked(entry, config, asked) for entry in entries]
    names = {name for words in asked for name in possible_names(words)}
    ready = [(n, one) for n, one in enumerate(checked) if not one.error]
    pictures = {n: one.picture for n, one in ready if one.picture is not None}
    requests = {n: one.request for n, one in ready if one.request is not None}
    files = [picture.path for picture in pictures.values()]
    files += {name for request in requests.values() for name in request.files}
    files += reads
    folder = OutputFolder(out, files, reserved)
    base = common_parent([*pictures.values()])
    edited = [n for n in pictures if requests[n].steps]
    shown = [n for n in pictures if both or not requests[n].steps]
    endings = [edit_ending([step.operation for step in requests[n].steps]) for n in edited]
    several = any(step.makes_several for n in edited for step in requests[n].steps)
    places = EditPlaces(folder, numbered=several)
    edits = dict(
        zip(edited, plan_edits([pictures[n] for n in edited], places, endings, base), strict=True)
    )
    folders = plan_folders([pictures[n] for n in shown], folder, names, base)
    results = dict(zip(shown, folders, strict=True))
    plan = Plan(checked, {}, base)
    seen: dict[str, int] = {}
    for n, picture in pictures.items():
        key = _key(checked[n].name, requests[n], seen)
        task = Task(n, key, checked[n].name, requests[n], results.get(n), edits.get(n))
        plan.tasks[n] = task
        jobs = [job for job in (task.folder, task.edit) if job is not None]
        plan.remarks += [f"{picture.path}: {job.remark}" for job in jobs if job.remark]
    return plan


def _checked(entry: Entry, config: Any, asked: set[tuple[str, ...]]) -> Entry:
    """An entry whose words can be asked, or the reason why not; `asked` gets its words."""
    if entry.error or entry.request is None:
        return entry
    try:
        words = entry.request.vocabulary(config)
    except LexisegError as error:
        return replace(entry, error=str(error))
    asked.add(words.names if isinstance(words, Vocabulary) else entry.request.clicks.names)
    return entry


def _key(name: str, request: Request, seen: dict[str, int]) -> str:
    """What tells a task from any other: what it is, and how often that came before."""
    text = json.dumps([name, *request.identity], ensure_ascii=False)
    data = text.encode("utf-8", "surrogatepass")
    digest = blake2s(data, digest_size=16).hexdigest()
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def _read_table(name: str) -> list[Row]:
    if not is_remote(name):
        return read_table(Path(name))
    with fetched(name) as copy:
        return read_table(copy)


def _of_names(names: Sequence[str], defaults: Defaults, remarks: list[str]) -> list[Entry]:
    request = make_request(None, defaults)  # raises: it is the same for all
    remote = [one for name in names if is_remote(name) for one in select_remote(name)]
    entries = [Entry(one.path, one, request) for one in remote]
    names = [name for name in names if not is_remote(name)]
    if not names:
        return entries
    chosen = select_pictures(names)
    remarks += [str(problem) for problem in chosen.passed_over]
    if chosen.earlier:
        remarks.append(f"{chosen.earlier:,} files of earlier results left alone")
    entries += [Entry(one.path, one, request) for one in chosen.pictures]
    return entries + [Entry(one.path, error=str(one)) for one in chosen.failed]


@lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _of_row(row: Row, home: str, defaults: Defaults) -> Entry:
    name = str(row.given.get("picture", ""))
    if row.error:
        return Entry(name or row.place, extra=row.extra, error=f"{row.place}: {row.error}")
    # As seen from the table; else from where the command runs.
    path = name if is_remote(name) else os.path.join(home, os.path.expanduser(name))
    own = os.path.expanduser(name)
    if not is_remote(path) and not os.path.lexists(path) and os.path.lexists(own):
        path = own
    folder, last = os.path.split(path)
    real = path if is_remote(path) else os.path.join(_real(folder), last)
    picture = Selected(path, folder or os.curdir, real)
    try:
        return Entry(name, picture, make_request(row, defaults), row.extra)
    except LexisegError as error:
        return Entry(name, extra=row.extra, error=f"{row.place}: {error}")
