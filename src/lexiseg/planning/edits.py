"""Where edited pictures go, and what earlier edits left there: one file, or several numbered ones.

Each file tells of which picture it is, in its XMP packet. So an edit replaces those of the same
picture, and no other file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from hashlib import blake2s
from pathlib import Path

from lexiseg import imaging
from lexiseg.errors import OutputError
from lexiseg.planning.output_paths import Job, OutputFolder, kind_of, plan_places
from lexiseg.planning.records import picture_path
from lexiseg.planning.selection import Selected

__all__ = ["EditPlaces", "edit_origin", "plan_edits", "plan_named_edit"]

_NUMBERED = re.compile(r"(.+)-([1-9]\d*)(\.[^.]+)", re.DOTALL)


def plan_edits(
    pictures: Sequence[Selected],
    places: EditPlaces,
    endings: Sequence[str],
    base: str | None = None,
) -> list[Job]:
    """Return the file for the edit of each picture, in order: the picture's name and its ending.

    endings: one a picture, such as "-blur.png". As `plan_folders` otherwise.
    """
    return plan_places(pictures, places.out, places.obstacle, endings, base)


def plan_named_edit(picture: Selected, path: Path, places: EditPlaces) -> Job:
    """Return the job of an edit whose file is named, in the output folder of `places`.

    Raises OutputError where an input of the run is there, or what lexiseg did not write.
    """
    why = places.obstacle(os.path.join(places.out.real, path.name), picture.real)
    if why is not None and os.path.realpath(path) == os.path.realpath(picture.real):
        why = "it is the photo itself"
    if why is not None:
        raise OutputError(f"--out {str(path)!r} cannot be written: {why}; choose another name")
    return Job(Path(picture.path), picture.real, path)


def edit_origin(picture: str, folder: str, number: int | None = None) -> str:
    """Return what an edit keeps of its origin: of which picture it is, and its number.

    picture, folder: absolute paths, links resolved; folder: where the edit lies. The path between
    them is hashed: who is handed an edit learns of no folders.
    """
    path = picture_path(picture, folder).encode("utf-8", "surrogatepass")
    digest = blake2s(path, digest_size=16).hexdigest()
    return digest if number is None else f"{digest}/{number}"


class EditPlaces:
    """What lies where edits are to go; each folder is listed once.

    At a place `a.png` lie `a.png`, and the numbered files `a-1.png`, `a-2.png`, ... of an edit that
    gave several. out: whose inputs are never replaced. numbered: there may be several files.
    of_any_picture: edits of other pictures are replaced too.
    """

    def __init__(self, out: OutputFolder, *, numbered: bool, of_any_picture: bool = False) -> None:
        self.out = out
        self._numbered = numbered
        self._of_any_picture = of_any_picture
        self._listings: dict[str, dict[str, list[tuple[str, str]]]] = {}

    def obstacle(self, path: str, picture: str, names: Iterable[str] = ()) -> str | None:
        """Return why the edit of a picture cannot go to a path, or None; absolute paths.

        names: files beside it that may be there since the folder was listed.
        """
        for file, number in [*self._at(path), *self._added(path, names)]:
            name, kind = os.path.basename(file), kind_of(file)
            if kind is None or (number and not self._numbered):
                continue
            if self.out.is_input(file):
                return "an input of this run lies there"
            if kind != "file":
                return f"{name!r} is a {kind}"
            digest = _digest(file, number)
            if digest is None:
                return f"{name!r} is there, which lexiseg did not write"
            if digest not in ("", _own(file, picture)) and not self._of_any_picture:
                return "the edit of another picture is there"
        return None

    def earlier(self, path: str, picture: str) -> list[str]:
        """Return the paths of the files that an earlier edit of the same picture left at a path."""
        return [
            file
            for file, number in self._at(path)
            if not self.out.is_input(file) and _digest(file, number) == _own(file, picture)
        ]

    def _at(self, path: str) -> list[tuple[str, str]]:
        """The files at a place, whatever the case of their names, and the number of each or ""."""
        folder, name = os.path.split(path)
        if folder not in self._listings:
            self._listings[folder] = _listing(folder)
        found = self._listings[folder].get(name.casefold(), ())
        return [(os.path.join(folder, one), number) for one, number in found]

    def _added(self, path: str, names: Iterable[str]) -> list[tuple[str, str]]:
        folder = os.path.dirname(path)
        numbers = ((name, _NUMBERED.fullmatch(name)) for name in names)
        return [
            (os.path.join(folder, name), "" if name == os.path.basename(path) or not n else n[2])
            for name, n in numbers
        ]


def _listing(folder: str) -> dict[str, list[tuple[str, str]]]:
    """The names in a folder, with their numbers, by the place at which they lie."""
    out: dict[str, list[tuple[str, str]]] = {}
    try:
        names = os.listdir(folder)
    except OSError:
        return out
    for name in names:
        out.setdefault(name.casefold(), []).append((name, ""))
        numbered = _NUMBERED.fullmatch(name)
        if numbered is not None:
            place = (numbered[1] + numbered[3]).casefold()
            out.setdefault(place, []).append((name, numbered[2]))
    return out


def _own(file: str, picture: str) -> str:
    return edit_origin(picture, os.path.dirname(file))


def _digest(file: str, number: str) -> str | None:
    """Of which picture a file is an edit, "" if unknown; None where it is none of that number."""
    from lexiseg.edit.xmp import origin_of  # rarely needed

    origin = origin_of(imaging.read_xmp(file))
    if origin is None:
        return None
    digest, _, own_number = origin.partition("/")
    return digest if own_number == number else None
