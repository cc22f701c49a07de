"""Where the results of each picture go: names that are free on the disk, and harm no input.

What is asked of the file system, before work starts, is asked here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lexiseg.errors import OutputError
from lexiseg.export import safe_name
from lexiseg.planning.names import HASHED, LEVELS, Item, choose_places, folded, place_of
from lexiseg.planning.records import FOLDERS, RESULT, picture_path, read_record
from lexiseg.planning.selection import Selected

__all__ = [
    "Job", "OutputFolder", "common_parent", "kind_of", "plan_folders", "plan_places",
    "results_obstacle",
]  # fmt: skip

_TWINS = "other pictures are called the same but for case, or but for what is cut from long names"


@dataclass(frozen=True)
class Job:
    """A picture and the place of its results: a folder, or a file.

    real: the picture's absolute path. remark: why the place has digits in its name, or empty.
    """

    source: Path
    real: str
    target: Path
    remark: str = ""


class OutputFolder:
    """The folder below which a run writes, and what in it is out of bounds.

    inputs: paths of files that the run reads; none is ever replaced, whichever flag named it, and
    names that differ by case alone count as the same. Links below the folder are never followed;
    the folder itself may be one. reserved: names in it that the run itself gives, to other files.
    """

    def __init__(
        self, path: str | os.PathLike[str], inputs: Iterable[str], reserved: Iterable[str] = ()
    ) -> None:
        self.path = Path(path)
        self.real = os.path.realpath(path)
        self.reserved = frozenset(name.casefold() for name in reserved)
        self._kinds: dict[str, str | None] = {}
        self._inputs: set[str] = set()
        self._with_inputs: set[str] = set()  # the folders below this one in which inputs lie
        homes: dict[str, str] = {}
        for name in inputs:
            home, last = os.path.split(name)
            if home not in homes:
                homes[home] = os.path.realpath(home or os.curdir)
            self._add_input(os.path.join(homes[home], last))
            if os.path.islink(name):
                self._add_input(os.path.realpath(name))

    def _add_input(self, path: str) -> None:
        self._inputs.add(path.casefold())
        folder = os.path.dirname(path)
        inside = os.path.join(self.real, "")
        while folder.startswith(inside) and folder.casefold() not in self._with_inputs:
            self._with_inputs.add(folder.casefold())
            folder = os.path.dirname(folder)

    def obstacle(self, folders: Sequence[str]) -> str | None:
        """Return what is in the way of a path of folders below this one, or None."""
        path = self.real
        for part in folders:
            path = os.path.join(path, part)
            kind = self._kind(path)
            if kind is None:
                return None
            if kind != "folder":
                return f"{self._shown(path)} is a {kind}"
        return None

    def holds_inputs(self, folder: str) -> bool:
        """Whether an input lies in an absolute folder below this one, or deeper."""
        return folder.casefold() in self._with_inputs

    def is_input(self, path: str) -> bool:
        """Whether an absolute path is an input."""
        return path.casefold() in self._inputs

    def _kind(self, path: str) -> str | None:
        if path not in self._kinds:
            self._kinds[path] = kind_of(path)
        return self._kinds[path]

    def _shown(self, path: str) -> str:
        return repr(str(self.path / os.path.relpath(path, self.real)))


def plan_folders(
    pictures: Sequence[Selected],
    out: OutputFolder,
    names: Iterable[str] = (),
    base: str | None = None,
) -> list[Job]:
    """Return the folder for the results of each picture, in order.

    names: the files that a folder may get, relative to it, "/" between parts, for pictures in a
    folder of which nothing is known yet. No two folders meet, none lies inside another; earlier
    results of the same picture are replaced, all else that is there makes the name longer.
    base: the folder below which the pictures lie as the results do below `out`; their common parent
    if left out. Raises OutputError where no name is free.
    """
    may_write = frozenset(name.casefold() for name in (*names, RESULT))

    def taken(folder: str, real: str) -> str | None:
        return results_obstacle(folder, real, may_write)

    return plan_places(pictures, out, taken, base=base)


def results_obstacle(folder: str, picture: str, may_write: frozenset[str]) -> str | None:
    """Return why the results of a picture cannot replace what is in a folder, or None.

    folder, picture: absolute paths. may_write: casefolded names below the folder.
    """
    kind = kind_of(folder)
    if kind is None:
        return None
    if kind != "folder":
        return f"there is a {kind} of that name"
    inside = {}
    for name in FOLDERS:
        inside[name] = kind_of(os.path.join(folder, name))
        if inside[name] not in (None, "folder"):
            return f"it holds a {inside[name]} called {name!r}"
    record = read_record(folder)
    if record is not None and record.picture not in (None, picture_path(picture, folder)):
        return "the results of another picture are there"
    ours = frozenset() if record is None else record.names | {RESULT}
    there = _listed(folder)
    there += [f"{name}/{one}" for name in FOLDERS if inside[name] for one in _listed(folder, name)]
    foreign = [name for name in there if name.casefold() in may_write and name not in ours]
    return f"{foreign[0]!r} is there, which lexiseg did not write" if foreign else None


def plan_places(
    pictures: Sequence[Selected],
    out: OutputFolder,
    taken: Callable[[str, str], str | None],
    endings: Sequence[str] | None = None,
    base: str | None = None,
) -> list[Job]:
    """Return a place for each picture.

    taken: what is in the way at an absolute path, or None. endings: of the names, one a picture.
    base: see `plan_folders`.
    """
    base = common_parent(pictures) if base is None else base
    items = _items(pictures, out, endings or [""] * len(pictures), base)
    chosen = choose_places(items)
    used = {folded(place) for _, place in chosen}
    jobs = []
    for picture, item, (level, place) in zip(pictures, items, chosen, strict=True):
        remark = _TWINS if level >= HASHED else ""
        why = _obstacle(place, picture.real, out, taken)
        while why is not None:
            remark = remark or f"{str(out.path.joinpath(*place))!r} is not free: {why}"
            level = max(level + 1, HASHED)
            if level == LEVELS:
                raise OutputError(f"no name is free for the results of {picture.path!r}; {why}")
            # Beside what is in the way, or, where that is a folder above, at the top.
            lower = () if out.obstacle(place[:-1]) else item.folder
            place = (*lower, place_of(item, level)[-1])
            if folded(place) not in used:
                why = _obstacle(place, picture.real, out, taken)
        used.add(folded(place))
        target = out.path.joinpath(*place)
        if remark:
            remark = f"its results go to {str(target)!r}: {remark}"
        jobs.append(Job(Path(picture.path), picture.real, target, remark))
    return jobs


def _obstacle(
    place: tuple[str, ...],
    picture: str,
    out: OutputFolder,
    taken: Callable[[str, str], str | None],
) -> str | None:
    why = out.obstacle(place[:-1])
    if why is not None:
        return why
    path = os.path.join(out.real, *place)
    if place[0].casefold() in out.reserved:
        return "the run writes another file of that name"
    if out.holds_inputs(path) or out.is_input(path):
        return "an input of this run lies there"
    return taken(path, picture)


def _items(
    pictures: Sequence[Selected], out: OutputFolder, endings: Sequence[str], common: str
) -> list[Item]:
    """The pictures by their names below a folder."""
    folders: dict[str, tuple[str, ...]] = {}
    relative: dict[str, str] = {}
    items = []
    seen: dict[str, int] = {}  # a table may name a picture several times
    for picture, ending in zip(pictures, endings, strict=True):
        folder, name = os.path.split(picture.path)
        if folder not in folders:
            parts = os.path.relpath(os.path.abspath(folder), common) if common else folder
            folders[folder] = tuple(
                safe_name(part) for part in parts.split(os.sep) if part not in ("", os.curdir)
            )
        home = os.path.dirname(picture.real)
        if home not in relative:
            relative[home] = picture_path(home, out.real)
        identity = f"{relative[home]}/{name}"
        count = seen[identity] = seen.get(identity, 0) + 1
        identity += f"#{count}" if count > 1 else ""
        items.append(Item(folders[folder], name, identity, ending))
    return items


def common_parent(pictures: Sequence[Selected]) -> str:
    """Return the folder that the folders of all pictures have in common, absolute, or ""."""
    roots = {os.path.abspath(root) for root in {picture.root for picture in pictures}}
    try:
        return os.path.commonpath(roots) if roots else ""
    except ValueError:  # several drives
        return ""


def kind_of(path: str) -> str | None:
    """Return what a path is: "link", "folder", "file", "device or pipe"; None for nothing."""
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "device or pipe"


def _listed(folder: str, inside: str = "") -> list[str]:
    try:
        return os.listdir(os.path.join(folder, inside))
    except OSError:
        return []
