"""Checkpoints by name: found, pulled, verified, removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from lexiseg.checkpoints import known
from lexiseg.checkpoints._hub import ask_about, fetch
from lexiseg.checkpoints._lock import alone_in
from lexiseg.checkpoints._verify import verify, verify_once
from lexiseg.checkpoints.local import is_path, open_local
from lexiseg.checkpoints.places import (
    Checkpoint,
    folder_of,
    offline_reason,
    pin,
    pinned,
    verify_all,
)
from lexiseg.checkpoints.records import Record, WeightFile
from lexiseg.errors import CheckpointError, OptionError, OutputError, WeightsMissing

__all__ = ["is_here", "pull", "remove", "resolve", "seen", "verify_again"]


def resolve(name: str | Path, *, pull: bool = False, offline: bool | None = None) -> Checkpoint:
    """Return a checkpoint with the verified paths of its files.

    name: a name of the table ("tiny"), or a path (a Path, or a text with a slash in it): a folder
        with a manifest.json, or a folder or file that is recognised by its content as a
        checkpoint of the table, or a folder as transformers or OpenCLIP save a CLIP.
    pull: download what is missing; without it nothing is ever downloaded.
    offline: refuse to connect; None asks LEXISEG_OFFLINE and HF_HUB_OFFLINE.

    Raises UnknownName; WeightsMissing, which names the command that downloads; CheckpointError
    where files are not what their record says.
    """
    if isinstance(name, Path) or is_path(name):
        return open_local(Path(name).expanduser())
    record = known.get(name)
    bundled = known.bundled_folder(name)
    if bundled is not None:
        return _bundled(record, bundled)
    if pull:
        return _pull(record, offline)
    folder = folder_of(record)
    record = pinned(record, folder)
    absent = [file.name for file in record.files if not (folder / file.name).is_file()]
    if absent:
        more = f" and {len(absent) - 3} more files" if len(absent) > 3 else ""
        raise WeightsMissing(
            f"the weights of {name!r} are not on this machine ({', '.join(absent[:3])}{more}, "
            f"{_megabytes(record)}{record.licence}); to download them: "
            f"lexiseg models pull {name}"
        )
    for file in record.files:
        path = folder / file.name
        verify_once(path, file, remedy=f"delete it, then: lexiseg models pull {name}")
    return Checkpoint.at(record, folder)


def pull(name: str, *, offline: bool | None = None) -> Checkpoint:
    """Download what is missing of a checkpoint of the table, and return it as `resolve` does."""
    return resolve(name, pull=True, offline=offline)


def verify_again(name: str | Path) -> Checkpoint:
    """Return a checkpoint as `resolve` does, with every byte read again.

    Raises WeightsMissing and CheckpointError as `resolve` does.
    """
    found = resolve(name)
    for file in found.record.files:
        verify(found[file.name], file, remedy=f"delete it, then: lexiseg models pull {name}")
    return found


def remove(name: str) -> Path | None:
    """Delete what was downloaded of a checkpoint of the table, half-fetched files too.

    Returns the folder that is gone; None where there was none. Raises OptionError for bundled
    weights, which belong to the package, and OutputError where the folder cannot be deleted.
    """
    record = known.get(name)
    if known.bundled_folder(name) is not None:
        raise OptionError(f"{name!r} is a part of lexiseg itself; uninstall lexiseg to remove it")
    folder = folder_of(record)
    if not folder.is_dir():
        return None
    try:
        # The lock lies in the folder, and goes with it: last.
        with alone_in(folder):
            for path in folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != ".lock":
                    path.unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be deleted ({error.strerror or error}); check who owns it"
        ) from error
    return folder


def seen(record: Record) -> Record:
    """Return a record of the table with what the first pull found out of unknown files."""
    return pinned(record, folder_of(record))


def is_here(record: Record) -> bool:
    """Return whether all files of a checkpoint of the table are there, by name and size alone."""
    folder = known.bundled_folder(record.name) or folder_of(record)
    record = pinned(record, folder)
    return all(_has(folder, file) for file in record.files)


def _has(folder: Path, file: WeightFile) -> bool:
    path = folder / file.name
    return path.is_file() and file.bytes in (0, path.stat().st_size)


def _megabytes(record: Record) -> str:
    return f"{record.bytes / 1e6:,.0f} MB in all, " if record.bytes else ""


def _bundled(record: Record, folder: Path) -> Checkpoint:
    verify_all(record, folder, remedy="install lexiseg again")
    return Checkpoint.at(record, folder)


def _pull(record: Record, offline: bool | None) -> Checkpoint:
    folder = folder_of(record)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):
            fresh = not pinned(record, folder).known
            record = pinned(record, folder)
            absent = any(not (folder / file.name).is_file() for file in record.files)
            if fresh and absent and offline_reason(offline) is None:
                record = ask_about(record)
            for file in record.files:
                _pull_file(record, file, folder, offline)
            if fresh:
                record = pin(record, folder)
    except OSError as error:
        raise OutputError(
            f"the cache folder {folder} cannot be used ({error.strerror or error}); set "
            f"LEXISEG_CACHE to a folder that can be written"
        ) from error
    return Checkpoint.at(record, folder)


def _pull_file(record: Record, file: WeightFile, folder: Path, offline: bool | None) -> None:
    path = folder / file.name
    if path.is_file():
        try:
            verify_once(path, file, remedy="fetching it again")
            return
        except CheckpointError:
            path.unlink()
    switch = offline_reason(offline)
    if switch is not None:
        raise WeightsMissing(
            f"{file.name} of {record.name!r} must be downloaded, but {switch} forbids it; allow "
            f"connections, or copy the file from another machine to {path}"
        )
    fetch(record, file, folder)
