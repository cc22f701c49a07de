"""Pictures and results that lie elsewhere, by fsspec: s3://, gs://, az://, file:// and others.

Results are made on this machine and then sent, result.json last; stores know no renaming, so a
picture's results are whole where its result.json is there. Nothing is sent but to a folder, and
read but from one, that was named.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lexiseg import imaging
from lexiseg.errors import ExtraMissing, LexisegError, OutputError, PictureError
from lexiseg.planning import RESULT, Selected
from lexiseg.planning.patterns import is_pattern

__all__ = ["Store", "fetched", "is_remote", "select_remote", "stamp_of_remote"]

# Of the file systems that fsspec knows and does not hold itself.
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}

T = TypeVar("T")


def is_remote(name: str) -> bool:
    """Whether a name is an address."""
    return "://" in name


def select_remote(name: str) -> list[Selected]:
    """Return the pictures of a remote folder, pattern or file, sorted. Raises PictureError."""

    def find(system: Any, path: str) -> list[str]:
        if is_pattern(path):
            return list(system.glob(path))
        if system.isfile(path):
            return [path]
        return [one for one in system.find(path) if _shown(one, path)]

    system, path = _open(name)
    found = sorted(_asked(name, lambda: find(system, path), PictureError))
    root = path if not is_pattern(path) and found != [path] else posixpath.dirname(path)
    out = []
    for one in found:
        if one == path or posixpath.splitext(one)[1].lower() in imaging.SUFFIXES:
            url = system.unstrip_protocol(one)
            home = system.unstrip_protocol(_before_pattern(root))
            out.append(Selected(url, home, url))
    if not out:
        raise PictureError(f"{name!r} holds no pictures; check the address")
    return out


@contextmanager
def fetched(name: str) -> Iterator[Path]:
    """Yield a copy of a remote file, under its own name. Raises PictureError."""
    system, path = _open(name)
    with tempfile.TemporaryDirectory(prefix="lexiseg-") as folder:
        copy = Path(folder) / posixpath.basename(path)
        _asked(name, lambda: system.get_file(path, str(copy)), PictureError)
        try:
            yield copy
        except LexisegError as error:  # told of the file that the user knows
            raise type(error)(str(error).replace(str(copy), name)) from error


def stamp_of_remote(name: str) -> tuple[int, int]:
    """Return the size of a remote file, and 0: not all stores tell when one was changed."""
    try:
        system, path = _open(name)
        return int(system.info(path).get("size") or 0), 0
    except Exception:  # noqa: BLE001 - stores raise what they like; reading it tells why
        return 0, 0


class Store:
    """The remote folder of a run's results; `local` is where they are made."""

    def __init__(self, url: str, local: Path) -> None:
        self.url, self.local = url.rstrip("/"), local

    def send(self, path: Path) -> None:
        """Send a file, or all files of a folder, result.json last. Raises OutputError."""
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        system, home = _open(self.url)
        for one in sorted(files, key=lambda one: (one.name == RESULT, one)):
            to = f"{home}/{one.relative_to(self.local).as_posix()}"

            def put(one: Path = one, to: str = to) -> None:
                system.makedirs(posixpath.dirname(to), exist_ok=True)
                system.put_file(str(one), to)

            _asked(self.url, put, OutputError)

    def receive(self, name: str, but: str = "") -> None:
        """Get the files of a folder of the store, where there are any, but one."""
        system, home = _open(self.url)

        def get() -> None:
            if not system.isdir(f"{home}/{name}"):
                return
            for one in system.find(f"{home}/{name}"):
                to = self.local / name / posixpath.relpath(one, f"{home}/{name}")
                if to.name == but:
                    continue
                to.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(one, str(to))

        _asked(self.url, get, OutputError)


def _open(name: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    kind = name.partition("://")[0].rpartition("::")[2]
    try:
        import fsspec
    except ImportError as error:
        raise ExtraMissing(f"{name!r} needs fsspec; pip install 'lexiseg[ray]'") from error
    try:
        system, path = fsspec.core.url_to_fs(name)
    except ImportError as error:
        package = _PACKAGES.get(kind, "its file system")
        raise ExtraMissing(f"{name!r} needs {package}; pip install {package}") from error
    except ValueError as error:
        raise PictureError(
            f"{name!r} is of no store that is known ({error}); give s3://, gs://, az:// or a path"
        ) from error
    return system, str(path)


def _asked(name: str, ask: Callable[[], T], kind: type[PictureError] | type[OutputError]) -> T:
    """What a store answers; stores raise what they like, which becomes a line."""
    try:
        return ask()
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise kind(f"{name!r} cannot be reached ({what}); check address and keys") from error


def _shown(path: str, root: str) -> bool:
    """Whether no part of a path below a folder is hidden."""
    return not any(part.startswith(".") for part in posixpath.relpath(path, root).split("/"))


def _before_pattern(path: str) -> str:
    """The folder that a pattern starts from."""
    while is_pattern(path):
        path = posixpath.dirname(path)
    return path or os.sep
