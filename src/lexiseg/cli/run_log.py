"""What a run over pictures says on stderr: what is left out, odd or failed, and a summary."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from lexiseg.cli.terminal import error_line, on_one_line
from lexiseg.errors import CheckpointError, MissingError
from lexiseg.planning import Job, Selection

__all__ = ["RunLog", "ends_run"]


def ends_run(error: Exception) -> bool:
    """Whether an error, raised with a picture that could be read, would come with any other."""
    return isinstance(error, MissingError | CheckpointError)


class RunLog:
    """Says each thing once, a line each, and counts.

    quiet: failures are said, and nothing else.
    failed, passed_over: what became of files that are not done, for JSON.
    """

    def __init__(self, selection: Selection, jobs: Sequence[Job], *, quiet: bool = False) -> None:
        self.failed: list[dict[str, str]] = []
        self.passed_over: list[dict[str, str]] = []
        self._quiet = quiet
        self._earlier = selection.earlier
        self._total = len(jobs) + len(selection.failed)
        for problem in selection.passed_over:
            self.passed_over.append({"file": problem.path, "reason": problem.reason})
            self._say(str(problem), "")
        for problem in selection.failed:
            self.failed.append({"picture": problem.path, "error": str(problem)})
            self._say(str(problem), "", always=True)
        for job in jobs:
            if job.remark:
                self._say(job.remark, str(job.source))

    def remarks(self, job: Job, notes: Iterable[str]) -> None:
        """Say what is odd about a picture that was read."""
        for note in notes:
            self._say(note, str(job.source))

    def fail(self, job: Job, error: Exception) -> None:
        """Say why there is no result of a picture."""
        line = error_line(error)
        name = str(job.source)
        self.failed.append({"picture": name, "error": line})
        self._say(line, "" if repr(name) in line else name, always=True)

    def stop(self, job: Job, error: Exception, rest: Sequence[Job]) -> None:
        """Say why the run ends here; the pictures in `rest` are not done either."""
        self.fail(job, error)
        self.failed += [{"picture": str(one.source), "error": "not done"} for one in rest]

    def finish(self) -> int:
        """Say how much was not done; return the exit code, 0 or 1."""
        left_out = []
        if self.passed_over:
            left_out.append(f"{_count(len(self.passed_over), 'file')} passed over")
        if self._earlier:
            left_out.append(f"{_count(self._earlier, 'file')} of earlier results left alone")
        if self.failed:
            what = [f"{len(self.failed)} of {_count(self._total, 'picture')} failed", *left_out]
            self._say("; ".join(what), "", always=True)
            return 1
        if left_out:
            self._say("; ".join([f"{_count(self._total, 'picture')} done", *left_out]), "")
        return 0

    def _say(self, text: str, name: str, *, always: bool = False) -> None:
        if always or not self._quiet:
            about = f"{on_one_line(name)}: " if name else ""
            sys.stderr.write(f"lexiseg: {about}{on_one_line(text)}\n")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
