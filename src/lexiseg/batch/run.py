"""The conductor of a run: plan, do what is not done yet, and make the tables of all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg._version import __version__
from lexiseg.batch import contact_sheet, formats, ray_workers, summary_tables, work
from lexiseg.batch.journal import FOLDER, Journal
from lexiseg.batch.options import BatchOptions, BatchResult
from lexiseg.batch.outputs import check_folder
from lexiseg.batch.pipeline import run_pipeline
from lexiseg.batch.plan import Entry, Plan, Task, make_plan, read_sources
from lexiseg.batch.remote import Store, is_remote
from lexiseg.batch.requests import Defaults, make_request
from lexiseg.batch.tables import require_pyarrow
from lexiseg.batch.work import DONE, FAILED, NOT_FOUND, Recipe, Record, Worker
from lexiseg.batch.workers import Start, default_workers, run_workers
from lexiseg.datasets.catalogue import AnyDataset
from lexiseg.errors import ExtraMissing, OptionError
from lexiseg.prompts import split_words
from lexiseg.protocols import LoadOptions

if TYPE_CHECKING:
    from lexiseg.protocols import Segmenter

__all__ = ["run_batch"]

RESERVED = (
    FOLDER, summary_tables.PICTURES, summary_tables.FAILURES, *summary_tables.MASKS.values(),
    contact_sheet.INDEX, contact_sheet.PAGES,
)  # fmt: skip
_A_SENDING = 64  # pictures after which the journal is sent: a driver that dies loses no more


Progress = Callable[[int, int, str], None]


def run_batch(
    segmenter: Segmenter | Any,
    sources: str | os.PathLike[str] | AnyDataset | Sequence[str | os.PathLike[str] | AnyDataset],
    out: str | os.PathLike[str],
    words: str | Sequence[str] | None = None,
    *,
    background: str | Sequence[str] | None = "default",
    like: Sequence[str] = (),
    operation: str | None = None,
    options: BatchOptions | None = None,
    load_options: LoadOptions | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    **fields: Any,
) -> BatchResult:
    """Segment or edit every picture of folders, patterns and tables; go on where a run was ended.

    segmenter: what `lexiseg.load` gives, or a method's Config, which each process loads; or any
        other, which works in this process alone.
    sources: folders, patterns, pictures, and tables (CSV, TSV, JSON lines, Parquet) with a column
        `picture` and others as they have need: words, background, points, not_points, boxes, like,
        operation and its options. Further columns are kept. "-" is stdin.
        An open data set, see `lexiseg.datasets.open_dataset`, stands for its photos, which are
        asked its own words where nothing else is asked.
    out: the folder of all results, which lie in it as the pictures do. It, pictures and tables may
        be addresses that fsspec knows: "s3://bucket/photos".
    words, background, like, operation: of pictures whose row says nothing else; without words those
        that a picture shows. like: "[WORD=]FILE[:X0,Y0,X1,Y1]". operation: as `lexiseg edit` takes
        it: "blur face --radius 8 + remove dog".
    options: see `BatchOptions`; its fields may be given by name instead.
    load_options: how a Config is loaded.
    progress: called with (pictures done, of how many, the name of one).
    stop: of a run that watches, called between its rounds; True ends it.

    Raises InputError for what cannot be asked, OptionError where `out` holds a run with other
    settings, OutputError for a full disk; pictures that fail are in the result and in failures.csv.
    """
    options = replace(options or BatchOptions(), **fields)
    given = split_words(words) if isinstance(words, str) and words[:1] != "@" else words
    asked = (given,) if isinstance(given, str) else tuple(given or ())
    behind = background if background is None or isinstance(background, str) else tuple(background)
    one = isinstance(sources, str | os.PathLike | AnyDataset)
    several: list[Any] = [sources] if one else [*sources]  # type: ignore[misc]
    address = os.fspath(out)
    with _made_in(address, options) as (folder, store):
        run = _Run(
            segmenter,
            [os.fspath(name) for name in several if not isinstance(name, AnyDataset)],
            [data for data in several if isinstance(data, AnyDataset)],
            folder,
            Defaults(asked, behind, tuple(like), operation),
            options,
            load_options,
            progress,
            store,
        )
        if options.watch is None:
            result = run.round()
        else:
            result = run.watch(options.watch, stop or (lambda: False))
        return result if store is None else replace(result, out=address)


@contextmanager
def _made_in(out: str, options: BatchOptions) -> Iterator[tuple[Path, Store | None]]:
    """Yield the folder in which results are made, and the store to which they are sent."""
    if not is_remote(out):
        check_folder(Path(out))
        yield Path(out), None
        return
    if options.formats:
        raise OptionError(
            f"formats are made of results that lie here, and {out!r} is elsewhere; get it, then "
            "use lexiseg convert"
        )
    with tempfile.TemporaryDirectory(prefix="lexiseg-") as name:
        store = Store(out, Path(os.path.realpath(name)))
        store.receive(FOLDER)
        yield store.local, store


@dataclass
class _Run:
    """A run: its settings, and what was said."""

    segmenter: Any
    sources: list[str]
    data: list[AnyDataset]
    out: Path
    defaults: Defaults
    options: BatchOptions
    load_options: LoadOptions | None
    progress: Progress | None
    store: Store | None = None
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config: Any = getattr(self.segmenter, "config", self.segmenter)
        if is_dataclass(self.segmenter) and not hasattr(self.segmenter, "prepare"):
            self.alone = False
        else:
            scorer = getattr(self.segmenter, "scorer", None)
            self.alone = self.config is None or scorer is None
            if scorer is not None and self.load_options is None:
                self.load_options = LoadOptions(scorer.device_name, scorer.dtype_name, False, True)
        self.how = self.load_options or LoadOptions()
        make_request(None, self.defaults).vocabulary(self.config)  # raises: it is asked of all

    def watch(self, seconds: float, stop: Callable[[], bool]) -> BatchResult:
        """Do rounds until `stop` says so; a picture that is being written waits for the next."""
        while True:
            result = self.round(settled=True)
            self.options = replace(self.options, anew=False)
            if stop():
                return result
            time.sleep(seconds)

    def round(self, *, settled: bool = False) -> BatchResult:
        """Do what is not done, and make the tables. settled: only pictures that do not change."""
        started = time.perf_counter()
        remarks: list[str] = []
        entries = read_sources(self.sources, self.defaults, remarks, self.data)
        if settled:
            entries = self._settled(entries)
        names = (*RESERVED, *self.options.formats)
        plan = make_plan(
            entries, self.out, self.config, reads=self.sources, reserved=names,
            both=self.options.both,
        )  # fmt: skip
        with Journal(
            self.out, self._settings(), self.options.shard, anew=self.options.anew
        ) as journal:
            todo = self._todo(plan, journal)
            shutil.rmtree(journal.workshop, ignore_errors=True)
            try:
                self._work(plan, todo, journal)
            finally:
                shutil.rmtree(journal.workshop, ignore_errors=True)
                if self.store is not None and journal.path.is_file():
                    self.store.send(journal.path)
            if self.store is not None:
                self.store.receive(FOLDER, journal.path.name)
            journal.refresh()
            result = self._finish(plan, journal, {task.key for task in todo})
        said = (*remarks, *plan.remarks, *result.remarks)
        return replace(result, remarks=said, seconds=time.perf_counter() - started)

    def _settings(self) -> dict[str, Any]:
        """What must be the same for results to be the same bytes."""
        config = self.config
        plain = asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
        method = getattr(self.segmenter, "name", None) or type(config).__module__
        chosen = self.options
        return {
            "version": __version__,
            "method": str(method).removeprefix("lexiseg.methods.").replace("_", "-"),
            "config": json.loads(json.dumps(plain, default=str)),
            "device": self.how.device or "auto",
            "dtype": self.how.dtype or "auto",
            "threads": chosen.threads,
            "kinds": sorted(chosen.kinds),
            "both": chosen.both,
            "max_pixels": chosen.max_pixels,
            "sheet": chosen.sheet,
        }

    def _todo(self, plan: Plan, journal: Journal) -> list[Task]:
        """The tasks of this shard that are not done, or whose picture is another by now."""
        number, count = self.options.shard
        out = []
        for place, task in plan.tasks.items():
            if place % count != number - 1:
                continue
            status = journal.status(task.key)
            record = None if status is None else journal.record(task.key)
            if record is None or record.stamp != work.stamp_of(task.source.real):
                out.append(task if record is None else _pinned(task, record, self.out))
            elif status == FAILED:
                if not self.options.watch:  # it may be mended by now
                    out.append(task)
            elif self.store is None and not work.is_there(record, self.out):
                out.append(task)
        return out

    def _settled(self, entries: Sequence[Entry]) -> list[Entry]:
        """The pictures that did not change since the round before."""
        before = self.stamps
        paths = [entry.picture.path for entry in entries if entry.picture is not None]
        self.stamps = {path: work.stamp_of(path) for path in paths}
        old = time.time_ns() - int(2e9 * (self.options.watch or 0))
        return [
            entry
            for entry in entries
            if entry.picture is None
            or before.get(entry.picture.path) == self.stamps[entry.picture.path]
            or 0 < self.stamps[entry.picture.path][1] < old
        ]

    def _work(self, plan: Plan, todo: list[Task], journal: Journal) -> None:
        total = len(plan.entries)
        count = total - len(todo)
        names = {task.key: task.name for task in todo}

        def keep(record: Record) -> None:
            nonlocal count
            journal.append(record)
            count += 1
            if self.store is not None and count % _A_SENDING == 0:
                self.store.send(journal.path)
            if self.progress is not None:
                self.progress(count, total, names[record.key])

        if not todo:
            return
        recipe = Recipe(
            out=self.out,
            workshop=journal.workshop,
            kinds=self.options.kinds,
            max_pixels=self.options.max_pixels,
            thumbnails=self.options.sheet,
            numbered=any(step.makes_several for task in todo for step in task.request.steps),
            options=self.how,
            store=None if self.store is None else self.store.url,
        )
        tasks: Iterator[Task] = iter(todo)
        if self.alone and self.options.ray is not None:
            raise OptionError("Ray's actors load the method themselves; give one of lexiseg.load")
        if self.alone:
            run_pipeline(Worker(self.segmenter, recipe), lambda: next(tasks, None), keep)
            return
        start = Start(self.config, recipe, self.how, self.options.threads)
        if self.options.ray is not None:
            actors = self.options.workers
            ray_workers.run_on_ray(start, self.options.ray, actors, tasks, keep)
            return
        workers = self.options.workers or default_workers(self.how)
        run_workers(start, min(workers, len(todo)), tasks, keep)

    def _finish(self, plan: Plan, journal: Journal, worked: set[str]) -> BatchResult:
        """Make the tables, where all is done, and count."""
        failed, not_found, instances, found, waiting, done = [], [], 0, False, 0, 0
        number, count = self.options.shard
        for place, entry in enumerate(plan.entries):
            task = plan.tasks.get(place)
            if task is None:
                failed.append((entry.name, entry.error))
                continue
            status = journal.status(task.key)
            if status is None:
                waiting += 1
                continue
            mine = place % count == number - 1
            done += task.key in worked and status != FAILED
            record = journal.record(task.key)
            if status == FAILED and (mine or count == 1):
                failed.append((entry.name, record.error))
            elif status == NOT_FOUND:
                not_found.append(entry.name)
            instances += len(record.instances)
            found = found or (status == DONE and bool(record.found))
        remarks: list[str] = []
        if not waiting:
            remarks = self._tables(plan, journal)
        return BatchResult(
            out=self.out,
            total=len(plan.entries),
            done=done,
            earlier=len(plan.entries) - done - len(failed) - waiting,
            not_found=tuple(not_found),
            failed=tuple(failed),
            waiting=waiting,
            found=found,
            instances=instances,
            remarks=tuple(remarks),
        )

    def _tables(self, plan: Plan, journal: Journal) -> list[str]:
        """Write the tables of all pictures; return what is to be said."""

        def pairs() -> Iterator[tuple[Entry, Record]]:
            for place, entry in enumerate(plan.entries):
                task = plan.tasks.get(place)
                yield entry, Record("", FAILED) if task is None else journal.record(task.key)

        remarks = []
        summary_tables.write_pictures(pairs(), plan.entries, self.out)
        kind = self.options.masks
        if kind is None:
            try:
                require_pyarrow("masks.parquet")
                kind = "parquet"
            except ExtraMissing as error:
                kind = "jsonl"
                remarks.append(f"{error}; masks.jsonl is written in its place")
        if kind != "none":
            summary_tables.write_masks(pairs(), plan.entries, self.out, kind)
        if self.options.sheet:
            contact_sheet.write_contact_sheet(pairs(), len(plan.entries), self.out)
        for name in self.options.formats:
            remarks += formats.write(name, pairs(), self.out, plan.base)
        if self.store is not None:
            for made in (path for path in self.out.iterdir() if path.name in RESERVED[1:]):
                self.store.send(made)
        return remarks


def _pinned(task: Task, record: Record, out: Path) -> Task:
    """A task at the places that it had before: what came since takes none of them."""
    folder, edit = task.folder, task.edit
    if folder is not None and record.folder is not None:
        folder = replace(folder, target=out / record.folder)
    if edit is not None and len(record.files) == 1:
        edit = replace(edit, target=out / record.files[0])
    return replace(task, folder=folder, edit=edit)
