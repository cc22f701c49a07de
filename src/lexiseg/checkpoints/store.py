"""Where the weights of a checkpoint lie: in the package, in a folder, or in the hub's cache."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from lexiseg.checkpoints import known
from lexiseg.checkpoints._hub import ask_about, fetch
from lexiseg.checkpoints._lock import alone_in
from lexiseg.checkpoints._verify import sha256_of, verify, verify_once
from lexiseg.checkpoints.folders import describe_decoder, describe_folder
from lexiseg.checkpoints.manifest import (
    MANIFEST,
    describe_files,
    read_manifest,
    write_manifest,
)
from lexiseg.checkpoints.records import Record, WeightFile
from lexiseg.errors import CheckpointError, OptionError, OutputError, WeightsMissing

__all__ = [
    "Checkpoint", "cache_folder", "is_here", "offline_reason", "pull", "remove", "resolve", "seen",
    "verify_again",
]  # fmt: skip

_OFFLINE = ("LEXISEG_OFFLINE", "HF_HUB_OFFLINE")


@dataclass(frozen=True)
class Checkpoint:
    """A record, and where its files lie, verified; `checkpoint["vision.safetensors"]` is a path."""

    record: Record
    paths: Mapping[str, Path]

    def __getitem__(self, name: str) -> Path:
        """Return the path of the file of this name; KeyError where the record has none."""
        return self.paths[name]

    @property
    def sha256(self) -> dict[str, str]:
        """The SHA-256 of each file, as results keep them in their provenance."""
        return {file.name: file.sha256 for file in self.record.files}


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
    if isinstance(name, Path) or _is_path(name):
        return _local(Path(name).expanduser())
    record = known.get(name)
    bundled = known.bundled_folder(name)
    if bundled is not None:
        return _bundled(record, bundled)
    if pull:
        return _pull(record, offline)
    folder = _folder(record)
    record = _pinned(record, folder)
    absent = [file.name for file in record.files if not (folder / file.name).is_file()]
    if absent:
        raise WeightsMissing(
            f"the weights of {name!r} are not on this machine ({', '.join(absent)}, "
            f"{_megabytes(record)}{record.licence}); to download them: "
            f"lexiseg models pull {name}"
        )
    for file in record.files:
        path = folder / file.name
        verify_once(path, file, remedy=f"delete it, then: lexiseg models pull {name}")
    return _found(record, folder)


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
    folder = _folder(record)
    if not folder.is_dir():
        return None
    try:
        # The lock lies in the folder, and goes with it: last.
        with alone_in(folder):
            for path in folder.iterdir():
                if path.name != ".lock":
                    path.unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be deleted ({error.strerror or error}); check who owns it"
        ) from error
    return folder


def seen(record: Record) -> Record:
    """Return a record of the table with what the first pull found out of unknown files."""
    return _pinned(record, _folder(record))


def is_here(record: Record) -> bool:
    """Return whether all files of a checkpoint of the table are there, by name and size alone."""
    folder = known.bundled_folder(record.name) or _folder(record)
    record = _pinned(record, folder)
    return all(_has(folder, file) for file in record.files)


def cache_folder() -> Path:
    """Return where downloads go: LEXISEG_CACHE, or the platform's folder for a user's caches."""
    chosen = os.environ.get("LEXISEG_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "lexiseg" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lexiseg"
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "lexiseg"


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


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.startswith(("~", "."))


def _folder(record: Record) -> Path:
    return cache_folder() / "checkpoints" / record.name


def _found(record: Record, folder: Path) -> Checkpoint:
    return Checkpoint(record, {file.name: folder / file.name for file in record.files})


def _has(folder: Path, file: WeightFile) -> bool:
    path = folder / file.name
    return path.is_file() and file.bytes in (0, path.stat().st_size)


def _megabytes(record: Record) -> str:
    return f"{record.bytes / 1e6:,.0f} MB in all, " if record.bytes else ""


def _pinned(record: Record, folder: Path) -> Record:
    """Return the record with what the first download of unknown files found.

    What the table knows stays: a pinned file that is not the table's is not believed.
    """
    if record.known or not (folder / MANIFEST).is_file():
        return record
    pinned = read_manifest(folder)
    found = {file.name: file for file in pinned.files}
    files = []
    for file in record.files:
        seen = found.get(file.name, file)
        files.append(
            replace(file, sha256=file.sha256 or seen.sha256, bytes=file.bytes or seen.bytes)
        )
    return replace(record, files=tuple(files), revision=record.revision or pinned.revision)


def _pin(record: Record, folder: Path) -> Record:
    """Keep what files turned out to be, so that they can be verified from now on."""
    described = {file.name: file for file in describe_files(folder, [f.name for f in record.files])}
    files = tuple(
        replace(file, sha256=described[file.name].sha256, bytes=described[file.name].bytes)
        for file in record.files
    )
    pinned = replace(record, files=files)
    write_manifest(folder, pinned)
    return pinned


def _bundled(record: Record, folder: Path) -> Checkpoint:
    _verify_all(record, folder, remedy="install lexiseg again")
    return _found(record, folder)


def _verify_all(record: Record, folder: Path, *, remedy: str) -> None:
    for file in record.files:
        path = folder / file.name
        if not path.is_file():
            raise WeightsMissing(f"{path} is missing, a part of {record.name!r}; {remedy}")
        verify(path, file, remedy=remedy)


def _local(path: Path) -> Checkpoint:
    if not path.exists():
        raise WeightsMissing(
            f"there is no folder or file {path}; give the folder that holds the weights, or a "
            f"name: {', '.join(known.names())}"
        )
    if path.is_dir() and (path / MANIFEST).is_file():
        record = read_manifest(path)
        _verify_all(record, path, remedy="copy or make the folder again")
        return _found(record, path)
    digest = cache(sha256_of)  # of one file at most once
    for name in known.names():
        located = None
        with suppress(WeightsMissing):  # a package without its bundled weights knows less
            located = _recognise(known.get(name), path, digest)
        if located is not None:
            return located
    described = describe_folder(path) if path.is_dir() else describe_decoder(path)
    if described is not None:
        return _found(described, path if path.is_dir() else path.parent)
    raise CheckpointError(
        f"{path} is not known weights: it has no {MANIFEST}, no configuration of transformers or "
        f"OpenCLIP beside its weights, and its files are those of no checkpoint in `lexiseg "
        f"models`; give a folder that `lexiseg train` made, or a checkpoint's own files under "
        f"their own names"
    )


def _recognise(record: Record, path: Path, digest: Callable[[Path], str]) -> Checkpoint | None:
    """Return `record` with its files at `path`, where their content is the record's.

    Raises CheckpointError where sizes are the record's and contents are not.
    """
    record = _pinned(record, _folder(record))
    if not all(file.sha256 for file in record.files):
        return None  # nothing tells these files from others
    if path.is_dir():
        places = {file.name: path / file.name for file in record.files}
    elif len(record.files) == 1:
        places = {record.files[0].name: path}
    else:
        return None
    for file in record.files:
        place = places[file.name]
        if not place.is_file() or file.bytes not in (0, place.stat().st_size):
            return None
        if not file.bytes and digest(place) != file.sha256:
            return None
    for file in record.files:
        if file.bytes:
            verify(places[file.name], file, remedy=f"it looks like {record.name!r}; copy it again")
    return Checkpoint(record, places)


def _pull(record: Record, offline: bool | None) -> Checkpoint:
    folder = _folder(record)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):
            fresh = not _pinned(record, folder).known
            record = _pinned(record, folder)
            absent = any(not (folder / file.name).is_file() for file in record.files)
            if fresh and absent and offline_reason(offline) is None:
                record = ask_about(record)
            for file in record.files:
                _pull_file(record, file, folder, offline)
            if fresh:
                record = _pin(record, folder)
    except OSError as error:
        raise OutputError(
            f"the cache folder {folder} cannot be used ({error.strerror or error}); set "
            f"LEXISEG_CACHE to a folder that can be written"
        ) from error
    return _found(record, folder)


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
