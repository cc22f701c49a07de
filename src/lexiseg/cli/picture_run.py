"""A run over pictures: one after the other, each odd or failed file in a line, and a summary."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lexiseg.cli.terminal import Progress, on_one_line
from lexiseg.errors import CheckpointError, DiskFull, MissingError, NothingFound, error_line
from lexiseg.planning import Job, Selection

if TYPE_CHECKING:
    from lexiseg.imaging import Picture

__all__ = ["PictureRun"]

# Returns what JSON holds about a picture, and the text for people.
Work = Callable[[Job, "Picture"], tuple[dict[str, Any], str]]


class PictureRun:
    """Works through pictures, says each thing once, a line each, and counts.

    args: its quiet (failures are said, and nothing else), json and max_pixels count.
    single: the picture, where one file was named and nothing else; any error of it ends the run.
    Raises PictureError where that one cannot be read.
    """

    def __init__(self, selection: Selection, jobs: Sequence[Job], args: argparse.Namespace) -> None:
        self._jobs = jobs
        self._args = args
        self._earlier = selection.earlier
        self._total = len(jobs) + len(selection.failed)
        self._done: list[dict[str, Any]] = []
        self._failed: list[dict[str, str]] = []
        self._not_found: list[dict[str, str]] = []
        self._passed_over: list[dict[str, str]] = []
        self.single = self._read(jobs[0]) if selection.single else None
        for problem in selection.passed_over:
            self._passed_over.append({"file": problem.path, "reason": problem.reason})
            self._say(str(problem), "")
        for problem in selection.failed:
            self._failed.append({"picture": problem.path, "error": str(problem)})
            self._say(str(problem), "", always=True)
        for job in jobs:
            if job.remark:
                self._say(job.remark, str(job.source))
        if self.single is not None:
            self.remarks(jobs[0], self.single.notes)

    def work_through(self, work: Work, progress: Progress) -> None:
        """Read each picture and do the work; one that fails does not stop the others.

        Of NothingFound, raised by the work, the reason is said; it is no failure.
        """
        talk = not (self._args.json or self._args.quiet)
        for number, job in enumerate(self._jobs, start=1):
            picture = self.single
            progress.step(number, len(self._jobs), on_one_line(str(job.source)))
            try:
                if picture is None:
                    picture = self._read(job)
                    progress.clear()
                    self.remarks(job, picture.notes)
                result, text = work(job, picture)
            except Exception as error:
                if self.single is not None or (picture is not None and _ends_run(error)):
                    raise
                progress.clear()
                if isinstance(error, NothingFound):
                    self._not_found.append({"picture": str(job.source), "reason": str(error)})
                    self._say(str(error), str(job.source))
                    continue
                self._fail(job, error)
                if isinstance(error, DiskFull):
                    rest = self._jobs[number:]
                    self._failed += [{"picture": str(j.source), "error": "not done"} for j in rest]
                    break
                continue
            self._done.append({"picture": str(job.source), **result})
            progress.clear()
            if talk:
                sys.stdout.write(text)
                sys.stdout.flush()

    def say(self, text: str) -> None:
        """Say something about the whole run."""
        self._say(text, "")

    def remarks(self, job: Job, notes: Iterable[str]) -> None:
        """Say what is odd about a picture that was read."""
        for note in notes:
            self._say(note, str(job.source))

    def finish(self) -> int:
        """Write the JSON that was asked for; say how much was not done. Return 0 or 1."""
        if self._args.json:
            document: dict[str, Any] = {"pictures": self._done, "failed": self._failed}
            if self._not_found:
                document["not_found"] = self._not_found
            document["passed_over"] = self._passed_over
            sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        left_out = []
        if self._not_found:
            left_out.append(f"nothing found in {len(self._not_found):,}")
        if self._passed_over:
            left_out.append(f"{_count(len(self._passed_over), 'file')} passed over")
        if self._earlier:
            left_out.append(f"{_count(self._earlier, 'file')} of earlier results left alone")
        if self._failed:
            what = [f"{len(self._failed):,} of {_count(self._total, 'picture')} failed", *left_out]
            self._say("; ".join(what), "", always=True)
            return 1
        if left_out and (self._done or self._earlier or self._passed_over):
            done = len(self._done) + len(self._not_found)
            self._say("; ".join([f"{_count(done, 'picture')} done", *left_out]), "")
        return 0

    def _read(self, job: Job) -> Picture:
        from lexiseg import imaging

        limit = self._args.max_pixels
        return imaging.read(job.source, **({} if limit is None else {"max_pixels": limit}))

    def _fail(self, job: Job, error: Exception) -> None:
        line = error_line(error)
        name = str(job.source)
        self._failed.append({"picture": name, "error": line})
        self._say(line, "" if repr(name) in line else name, always=True)

    def _say(self, text: str, name: str, *, always: bool = False) -> None:
        if always or not self._args.quiet:
            about = f"{on_one_line(name)}: " if name else ""
            sys.stderr.write(f"lexiseg: {about}{on_one_line(text)}\n")


def _ends_run(error: Exception) -> bool:
    """Whether an error, raised with a picture that could be read, would come with any other."""
    return isinstance(error, MissingError | CheckpointError)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
