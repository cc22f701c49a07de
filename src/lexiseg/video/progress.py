"""What a run over a video has done so far, in a folder beside its results.

It grows by parts of some frames; a kill loses no more than one, and the same command goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lexiseg import imaging
from lexiseg.errors import OptionError, OutputError
from lexiseg.planning.journal import LineFile
from lexiseg.video.state_file import load_state, save_state

__all__ = ["FOLDER", "Unfinished"]

FOLDER = "unfinished"
_FILE = "progress.json"


@dataclass
class _Done:
    """frames: tracked. length: bytes of their lines. parts: kind of video -> [file, first pts].

    edited: frames. tracked: whether all are. complete: results need only be moved to their place.
    notes: remarks of the reader. names: words, as results call them. states: kind -> file.
    """

    frames: int = 0
    length: int = 0
    edited: int = 0
    size_hw: list[int] = field(default_factory=list)
    tracked: bool = False
    complete: bool = False
    notes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    objects: list[list[Any]] = field(default_factory=list)  # [identity, about it]
    parts: dict[str, list[list[Any]]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)


class Unfinished:
    """The folder of a run in `out`; as a context it is held against other runs.

    settings: what must be the same for a run to go on. anew: forget what is there.
    Raises OptionError for what is there by other settings, OutputError where another run works.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], *, anew: bool) -> None:
        self.out, self.folder = out, out / FOLDER
        self.lines = LineFile(self.folder / "frames.jsonl")
        self.done = _Done()
        self._settings = json.loads(json.dumps(settings, default=str))
        self._anew = anew
        self._lock = FileLock(out / f".{FOLDER}.lock")

    def __enter__(self) -> Unfinished:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(
                f"another run works in {str(self.out)!r}; wait for it, or give another --out"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{str(self.out)!r} cannot be written ({error.strerror or error}); give another "
                "--out"
            ) from error
        try:
            self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.close()
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)
        for folder in (self.folder, self.out):  # where nothing was done
            try:
                folder.rmdir()
            except OSError:
                return

    def path(self, name: str) -> Path:
        """Return the place of a file of the run."""
        return self.folder / name

    def state(self, kind: str) -> Any:
        """Return what was kept of a kind with the last part; None where nothing was."""
        name = self.done.states.get(kind)
        if name is None:
            return None
        try:
            return load_state(self.path(name))
        except (OSError, ValueError, KeyError) as error:
            raise OptionError(
                f"{str(self.path(name))!r} cannot be read ({error}); begin anew (--anew)"
            ) from error

    def add_part(self, kind: str, part: tuple[Path, int] | None) -> None:
        """Note a finished part of a video: its file, and when its first frame is shown."""
        if part is not None:
            self.done.parts.setdefault(kind, []).append([part[0].name, part[1]])

    def parts(self, kind: str) -> list[tuple[Path, int]]:
        """Return the finished parts of a video, in order."""
        return [(self.path(name), first) for name, first in self.done.parts.get(kind, ())]

    def keep(self, states: Mapping[str, Any]) -> None:
        """Write down what is done, all of it or nothing. states: kind -> what going on takes."""
        before = set(self.done.states.values())
        number = self.done.frames + self.done.edited
        for kind, tree in states.items():
            name = f"{kind}-{number:06d}.npz"
            save_state(self.path(name), tree)
            self.done.states[kind] = name
        self.done.length = self.lines.length
        document = {"settings": self._settings, **vars(self.done)}
        text = json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
        imaging.write_bytes(self.path(_FILE), text)
        for name in before - set(self.done.states.values()):
            self.path(name).unlink(missing_ok=True)

    def finish(self, names: list[str]) -> None:
        """Move results to their place, those of earlier runs away; a second try does the rest.

        names: of files and folders, result.json the last.
        """
        self.done.complete = True
        self.keep({})
        self.lines.close()
        for name in names:
            made, place = self.path(name), self.out / name
            if not made.exists():  # moved before a kill
                continue
            if place.is_dir():
                old = self.path(f"old-{name}")
                shutil.rmtree(old, ignore_errors=True)
                os.replace(place, old)
            os.replace(made, place)
        shutil.rmtree(self.folder)

    def _read(self) -> None:
        """Take up what is there, and sweep away what is not written down."""
        path = self.path(_FILE)
        try:
            document = json.loads(path.read_bytes()) if path.is_file() and not self._anew else {}
            theirs = document.pop("settings", self._settings)
            self.done = _Done(**document)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise OptionError(
                f"{str(path)!r} is no file of lexiseg video ({error}); begin anew (--anew)"
            ) from error
        keys = [key for key, value in self._settings.items() if value != theirs.get(key)]
        if keys:
            raise OptionError(
                f"the unfinished run in {str(self.out)!r} was made with another {', '.join(keys)}; "
                "go on with the same settings, give another --out, or begin anew (--anew)"
            )
        if not document:
            for old in self.folder.iterdir():
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        self.lines.length = self.done.length
