"""The folder of downloads: where it is, who may change it, and which of its bytes were checked."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from lexiseg.checkpoints.records import Record, WeightFile
from lexiseg.errors import CheckpointError, OutputError, WeightsMissing

__all__ = [
    "cache_folder", "delete", "folder_of", "keep_digest", "locked", "offline_reason", "read_json",
    "sha256_of", "text_cache_folder", "verify", "verify_all", "write_whole",
]  # fmt: skip

_OFFLINE = ("LEXISEG_OFFLINE", "HF_HUB_OFFLINE")
_SMALL = 1 << 20  # bytes: so few are hashed sooner than a stamp is found


def cache_folder() -> Path:
    """Return where downloads go: LEXISEG_CACHE, or the platform's folder for a user's caches."""
    chosen = os.environ.get("LEXISEG_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("lexiseg", appauthor=False)


def folder_of(record: Record) -> Path:
    """Return the folder of the cache where the files of a checkpoint of the table lie."""
    return cache_folder() / "checkpoints" / record.name


def text_cache_folder() -> Path:
    """Return the folder of the cache where vectors of words lie."""
    return cache_folder() / "words"


def offline_reason(offline: bool | None = None) -> str | None:
    """Return which switch forbids connections, or None where they are allowed.

    offline: True is the switch --offline, False allows, None asks the environment.
    """
    if offline is not None:
        return "--offline" if offline else None
    for variable in _OFFLINE:
        value = os.environ.get(variable, "")
        if value.strip().lower() in ("1", "true", "yes", "on"):
            return f"{variable}={value}"
    return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing a folder of the cache; say once where that must wait.

    The lock lies beside the folder, so that the folder may go while others wait; the system gives
    it back when a process ends, however it ends. Raises OutputError where the cache cannot be
    written.
    """
    from filelock import FileLock, Timeout

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f".{folder.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            sys.stderr.write(f"waiting for another process that changes {folder}\n")
            lock.acquire()
    except OSError as error:
        raise OutputError(
            f"the cache folder {folder.parent} cannot be used ({error.strerror or error}); set "
            f"LEXISEG_CACHE to a folder that can be written"
        ) from error
    try:
        yield
    finally:
        lock.release()


def delete(folder: Path) -> bool:
    """Delete a folder of the cache, beside whatever else goes on there; False where there was none.

    It is renamed first: whoever waits for its lock starts with a fresh one. Raises OutputError
    where it cannot be deleted.
    """
    if not folder.is_dir():
        return False
    doomed = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        with locked(folder):
            folder.rename(doomed)
        shutil.rmtree(doomed)
    except FileNotFoundError:
        return False  # another process was quicker
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be deleted ({error.strerror or error}); check who owns it"
        ) from error
    return True


# Contents


def sha256_of(path: Path, *, fresh: bool = False) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits.

    A large file is not read again while its size, time and inode stay what they were: what it had
    then is kept in the cache. fresh: read it all the same.
    """
    if not fresh and path.stat().st_size >= _SMALL:
        state, stamp = _state(path), _stamp(path)
        with suppress(OSError, ValueError):
            kept_state, _, digest = stamp.read_text("ascii").rpartition(" ")
            if kept_state == state and re.fullmatch("[0-9a-f]{64}", digest):
                return digest
        digest = sha256_of(path, fresh=True)
        _keep(stamp, state, digest)
        return digest
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keep_digest(path: Path, digest: str) -> None:
    """Remember the digest of a file that was just read; a cache that cannot be written forgets."""
    if path.stat().st_size >= _SMALL:
        _keep(_stamp(path), _state(path), digest)


def _state(path: Path) -> str:
    now = path.stat()
    return f"{now.st_size} {now.st_mtime_ns} {now.st_ino}"


def _stamp(path: Path) -> Path:
    place = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return cache_folder() / "digests" / place[:32]


def _keep(stamp: Path, state: str, digest: str) -> None:
    with suppress(OSError):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        write_whole(stamp, f"{state} {digest}")


def verify(path: Path, file: WeightFile, *, remedy: str, fresh: bool = False) -> None:
    """Raise CheckpointError, which ends in `remedy`, unless `path` holds exactly `file`.

    What the record does not know is not compared. fresh: as in `sha256_of`.
    """
    size = path.stat().st_size
    if file.bytes and size != file.bytes:
        raise CheckpointError(
            f"{path} is damaged: it has {size:,} bytes, its record says {file.bytes:,}; {remedy}"
        )
    if not file.sha256:
        return
    digest = sha256_of(path, fresh=fresh)
    if digest != file.sha256:
        raise CheckpointError(
            f"{path} is damaged or another file: its SHA-256 is {digest[:12]}..., its record says "
            f"{file.sha256[:12]}...; {remedy}"
        )


def verify_all(record: Record, folder: Path, *, remedy: str, fresh: bool = False) -> None:
    """Verify every file; raises WeightsMissing and CheckpointError, which end in `remedy`."""
    for file in record.files:
        path = folder / file.name
        if not path.is_file():
            raise WeightsMissing(f"{path} is missing, a part of {record.name!r}; {remedy}")
        verify(path, file, remedy=remedy, fresh=fresh)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; raises CheckpointError where it holds none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not JSON ({error}); copy or make the folder again"
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is not a JSON object; copy or make the folder again")
    return values


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
