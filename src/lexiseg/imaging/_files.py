"""Files that are either whole or not there: written under another name, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lexiseg.errors import DiskFull, OutputError

__all__ = ["write_bytes", "write_text", "writing"]

_FIXES = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "the quota of this disk is used up; free some space or choose another place",
    errno.EROFS: "the disk is read-only; choose another place",
    errno.EACCES: "permission denied; choose a place that you may write to",
    errno.EPERM: "permission denied; choose a place that you may write to",
    errno.ENOTDIR: "a part of its path is a file, not a folder; choose another place",
    errno.EEXIST: "a part of its path is a file, not a folder; choose another place",
    errno.EISDIR: "it is a folder; give the name of a file",
    errno.ENAMETOOLONG: "its name is too long; choose a shorter one",
    errno.EFBIG: "the file is larger than this disk allows; choose another place",
}


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a file to write, which gets its name when the block ends without an error.

    Its folder is made where it is missing; an older file of that name stays as it was until the
    new one is complete. Raises OutputError.
    """
    path = Path(path)
    temporary = path.with_name(f".lexiseg-{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        # Not tempfile: its files are private to their owner, and would stay so after the renaming.
        with temporary.open("xb") as file:
            yield file
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        _remove(temporary)
        number = getattr(error, "errno", None)
        why = _FIXES.get(number or 0) or f"{error}; choose another place"
        kind = DiskFull if number in (errno.ENOSPC, errno.EDQUOT) else OutputError
        raise kind(f"{str(path)!r} cannot be written: {why}") from error
    except BaseException:  # an interrupt: leave nothing behind
        _remove(temporary)
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all; see `writing`."""
    with writing(path) as file:
        file.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file (UTF-8, the line ends as given) whole or not at all; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def _remove(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except (OSError, ValueError):
        return  # never made: its folder cannot be reached or its name cannot exist
