"""Which pictures a list of names stands for: files, folders, patterns; what is left out, and why.

A folder stands for all pictures in it and below. Nothing stops at one odd file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lexiseg import imaging
from lexiseg.errors import PictureError
from lexiseg.planning.patterns import expand, is_pattern
from lexiseg.planning.records import RESULT, is_edit, read_record

__all__ = ["Problem", "Selected", "Selection", "select_pictures"]

_MAX_HINTS = 20  # a hint reads a whole folder


@dataclass(frozen=True)
class Selected:
    """A picture of a run.

    root: the folder below which it was found, or in which it was named.
    real: its absolute path, the links in its folders resolved.
    """

    path: str
    root: str
    real: str


@dataclass(frozen=True)
class Problem:
    """A name that is no work for this run, and why, as the end of a sentence."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path!r} {self.reason}"


@dataclass
class Selection:
    """What was selected.

    pictures: each once, in the order of the names, those of a folder or pattern sorted.
    failed: what should be a picture and cannot be one. passed_over: what is none, or is not meant.
    earlier: how many files of earlier results lie among them. single: one file was named, no more.
    """

    pictures: list[Selected] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    passed_over: list[Problem] = field(default_factory=list)
    earlier: int = 0
    single: bool = False


def select_pictures(names: Iterable[str]) -> Selection:
    """Return what names stand for.

    A file that is named may end in anything; in folders and patterns the ending tells, or the
    content of a file whose name has none. Results of earlier runs are left out, save where one is
    named alone, or a pattern matches nothing else.
    Raises PictureError where there is a single name, and it stands for no picture.
    """
    given = [str(name) for name in names]
    if not given:
        raise PictureError("no picture is given; name a file, a folder or a pattern in quotes")
    finder = _Finder(alone=len(given) == 1)
    for name in given:
        finder.add(name)
    return finder.finish()


class _Finder:
    """Gathers the pictures of several names, each once."""

    def __init__(self, *, alone: bool) -> None:
        self._alone = alone
        self._chosen = Selection()
        self._seen: dict[tuple[str, str], str] = {}
        self._real: dict[str, str] = {}
        self._results: dict[str, frozenset[str]] = {}
        self._matched_results: list[tuple[str, str]] = []
        self._walked: dict[str, str] = {}
        self._hints = 0

    def add(self, name: str) -> None:
        """Add what a name stands for."""
        path = name if os.path.lexists(name) else os.path.expanduser(name)
        kind = _kind(path)
        if kind == "folder":
            self._add_folder(path)
        elif kind == "file":
            self._chosen.single = self._alone
            root = os.path.dirname(path) or os.curdir
            if not self._alone and self._is_result(path):
                self._matched_results.append((path, root))
            else:
                self._add_file(path, root)
        elif kind is None and "://" not in name and is_pattern(path):
            self._add_pattern(path)
        else:
            self._add_nothing(path)

    def finish(self) -> Selection:
        """Return what was gathered."""
        chosen = self._chosen
        if chosen.pictures or chosen.failed:
            chosen.earlier += len(self._matched_results)
        else:
            for path, root in self._matched_results:
                self._add_file(path, root)
        return chosen

    def _add_nothing(self, path: str) -> None:
        """Say what is wrong with a name, as reading the picture would."""
        self._hints += 1
        if self._hints > _MAX_HINTS and not os.path.lexists(path):
            self._chosen.failed.append(Problem(path, "does not exist; check the path"))
            return
        try:
            imaging.read(path)
        except PictureError as error:
            self._fail(path, str(error).removeprefix(repr(path)).strip(), str(error))

    def _fail(self, path: str, reason: str, message: str) -> None:
        if self._alone:
            raise PictureError(message)
        self._chosen.failed.append(Problem(path, reason))

    def _add_folder(self, folder: str, root: str | None = None) -> None:
        first = self._walked.get(self._real_folder(folder))
        if first is not None:
            self._note_again(folder, first)
            return
        before = self._count()
        for entry in self._walk(folder):
            if entry.name.startswith("."):
                self._chosen.passed_over.append(Problem(entry.path, "is hidden; passed over"))
            elif self._is_result(entry.path):
                self._chosen.earlier += 1
            else:
                self._add_entry(entry.path, root or folder, link=entry.is_symlink())
        if root is None and self._count() == before:
            what = "holds nothing but results of earlier runs; name those that you mean"
            if not self._chosen.earlier:
                what = f"holds no pictures ({', '.join(sorted(imaging.SUFFIXES))})"
            self._fail(folder, f"is a folder that {what}", f"the folder {folder!r} {what}")

    def _add_pattern(self, pattern: str) -> None:
        before = self._count() + len(self._matched_results)
        root, paths = expand(pattern)
        for path in paths:
            if _kind(path) == "folder":
                self._add_folder(path, root)
            elif self._is_result(path):
                self._matched_results.append((path, root))
            else:
                self._add_entry(path, root, link=os.path.islink(path))
        if self._count() + len(self._matched_results) == before:
            hint = "check it"
            if "[" in pattern:
                hint += '; a "[" that is part of a name is written "[[]"'
            why = f"is a pattern that no picture matches; {hint}"
            self._fail(pattern, why, f"no picture matches the pattern {pattern!r}; {hint}")

    def _count(self) -> int:
        return len(self._seen) + len(self._chosen.failed)

    def _add_entry(self, path: str, root: str, *, link: bool) -> None:
        """Add a file that nobody named: what is no picture is passed over."""
        known = os.path.splitext(path)[1].lower() in imaging.SUFFIXES
        kind = _kind(path)
        failed, passed_over = self._chosen.failed, self._chosen.passed_over
        if kind == "folder":
            passed_over.append(Problem(path, "is a link to a folder; passed over"))
        elif known and kind is None:
            what = "is a link to a file that is not there" if link else "has gone"
            failed.append(Problem(path, f"{what}; mend it, or take it away"))
        elif known and kind == "other":
            failed.append(Problem(path, "is not an ordinary file; give a picture's file"))
        elif known or (kind == "file" and _begins_like_picture(path)):
            self._add_file(path, root)
        else:
            passed_over.append(Problem(path, "is no picture by its name; passed over"))

    def _add_file(self, path: str, root: str) -> None:
        folder, name = os.path.split(path)
        real = self._real_folder(folder)
        first = self._seen.get((real, name))
        if first is None:
            self._seen[real, name] = path
            self._chosen.pictures.append(Selected(path, root, os.path.join(real, name)))
        else:
            self._note_again(path, first)

    def _note_again(self, path: str, first: str) -> None:
        if os.path.abspath(first) != os.path.abspath(path):
            again = Problem(path, f"is {first!r} by another way; done once")
            self._chosen.passed_over.append(again)

    def _real_folder(self, folder: str) -> str:
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder or os.curdir)
        return self._real[folder]

    def _is_result(self, path: str) -> bool:
        """Whether an earlier run wrote a file.

        A record beside it, or one folder up, tells; of an edit the file itself, where it has a name
        that `lexiseg edit` gives.
        """
        folder, name = os.path.split(path)
        if is_edit(path):
            return True
        above, last = os.path.split(folder)
        return name in self._names(folder) or f"{last}/{name}" in self._names(above)

    def _names(self, folder: str) -> frozenset[str]:
        """The files that a record in a folder tells of."""
        if folder not in self._results:
            record = read_record(folder)
            names = frozenset() if record is None else record.names | {RESULT}
            self._results[folder] = names
        return self._results[folder]

    def _walk(self, root: str) -> Iterator[os.DirEntry[str]]:
        """Yield the files in a folder and below, sorted, and links to folders, not followed."""
        waiting = [root]
        while waiting:
            folder = waiting.pop()
            real = self._real_folder(folder)
            if real in self._walked:
                continue
            self._walked[real] = folder
            try:
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                why = f"cannot be opened ({error.strerror or error}); check who may read it"
                self._chosen.failed.append(Problem(folder, why))
                continue
            inside = []
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    yield entry
                elif entry.name.startswith("."):
                    hidden = Problem(entry.path, "is a hidden folder; passed over")
                    self._chosen.passed_over.append(hidden)
                else:
                    inside.append(entry.path)
            waiting += reversed(inside)


def _kind(path: str) -> str | None:
    """What a path leads to: "file", "folder", "other", or None where there is nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "other"


def _begins_like_picture(path: str) -> bool:
    """Whether a file whose name has no ending holds a picture."""
    return not os.path.splitext(path)[1] and imaging.is_picture(path)
