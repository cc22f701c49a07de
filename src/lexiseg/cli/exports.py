"""Folders of annotations: written beside their place, and put there when all files are complete."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lexiseg import imaging
from lexiseg.batch.finishing import finishing
from lexiseg.batch.outputs import staged
from lexiseg.cli.terminal import on_one_line
from lexiseg.errors import OptionError, OutputError
from lexiseg.fields import overrides

if TYPE_CHECKING:
    from lexiseg.export import Format, Writer, Written
    from lexiseg.planning import Job
    from lexiseg.results import Segmentation

__all__ = ["Exports", "chosen_format", "complete_folder", "tell"]

_RECORD = ".lexiseg-export.json"  # names the files of the run before, which may be replaced


def chosen_format(name: str, settings: Sequence[str] = ()) -> Format:
    """Return a format with the options that `--set` gives; raises UnknownName, OptionError."""
    from lexiseg.export import get_format

    form = get_format(name)
    return get_format(name, **overrides(settings, type(form))) if settings else form


@contextmanager
def complete_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to write into, whose files are moved to `target` where no error came.

    Files of an earlier export to the same place are replaced, those that this one lacks go away;
    any other file is left alone. Raises OutputError where one is in the way.
    """
    with staged(target, None) as stage:
        stage.mkdir(parents=True)
        yield stage
        names = sorted(
            path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file()
        )
        record = json.dumps({"files": names}, ensure_ascii=False)
        earlier = _earlier(target)
        for name in names:
            if os.path.lexists(target / name) and name not in earlier:
                raise OutputError(
                    f"{str(target / name)!r} is there, which no export wrote; give another --out"
                )
        imaging.write_bytes(stage / _RECORD, record.encode("utf-8", "backslashreplace"))
        with finishing():
            if not target.exists():
                os.replace(stage, target)
                return
            for name in earlier - set(names):
                (target / name).unlink(missing_ok=True)
            for name in [*names, _RECORD]:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(stage / name, target / name)


def _earlier(target: Path) -> set[str]:
    """The files, relative to the folder, that an earlier export left there."""
    try:
        content: Any = json.loads((target / _RECORD).read_text("utf-8"))
        names = {str(name) for name in content["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in names if ".." not in Path(name).parts and not os.path.isabs(name)}


class Exports:
    """The annotations of a run's pictures in several formats, each in a folder of its own.

    A context: what was written stands in its place when it ends, also where pictures failed.
    Raises UnknownName for a format, OptionError for one given twice.
    """

    def __init__(
        self, names: Sequence[str], out: Path, jobs: Sequence[Job], words: Sequence[str]
    ) -> None:
        self._forms = [chosen_format(name) for name in names]
        if len({form.name for form in self._forms}) < len(self._forms):
            raise OptionError(f"--format gives a format twice ({', '.join(names)}); give it once")
        taken = {job.target.name.casefold() for job in jobs}
        self._targets = [out / _free(f"{form.name}-export", taken) for form in self._forms]
        self._out = out
        self._words = tuple(words)
        self._stack = ExitStack()
        self._writers: list[Writer] = []
        self._done: list[Written] = []

    def __enter__(self) -> Exports:
        for form, target in zip(self._forms, self._targets, strict=True):
            stage = self._stack.enter_context(complete_folder(target))
            writer = form.open(stage, self._words)
            self._writers.append(self._stack.enter_context(writer))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                self._done = [writer.close() for writer in self._writers]
            except BaseException:
                self._stack.__exit__(*sys.exc_info())
                raise
        self._stack.__exit__(kind, error, trace)

    def add(self, job: Job, seg: Segmentation) -> None:
        """Write a picture's result, the words alone that the run writes."""
        from lexiseg.export import Annotated
        from lexiseg.export.annotated import restricted

        if not self._writers:
            return
        place = job.target.relative_to(self._out)
        name = (place.parent / job.source.name).as_posix()
        if self._words:
            seg = restricted(seg, [word for word in self._words if word in seg.words])
        for writer in self._writers:
            writer.add(Annotated(name, seg, job.source, place.as_posix()))

    def tell(self, *, quiet: bool) -> None:
        """Say what was written; see `tell`."""
        for written, form, target in zip(self._done, self._forms, self._targets, strict=True):
            tell(written, form, target, quiet=quiet)


def _free(name: str, taken: set[str]) -> str:
    """A name for a folder that is none of a picture's."""
    while name.casefold() in taken:
        name += "-of-all"
    return name


def tell(written: Written, form: Format, target: Path, *, quiet: bool) -> None:
    """Say on stdout what was written where, and on stderr what was lost."""
    if quiet:
        return
    only = f"/{written.files[0].name}" if len(written.files) == 1 else ""
    sys.stdout.write(
        f"{written.pictures:,} pictures with {written.instances:,} masks as {form.name}: "
        f"{on_one_line(str(target))}{only}\n"
    )
    for note in written.notes:
        sys.stderr.write(f"lexiseg: {form.name}: {on_one_line(note)}\n")
