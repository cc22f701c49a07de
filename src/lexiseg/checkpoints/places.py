"""Where checkpoints lie on this machine, and what their first pull found out."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lexiseg.checkpoints._verify import verify
from lexiseg.checkpoints.manifest import MANIFEST, describe_files, read_manifest, write_manifest
from lexiseg.checkpoints.records import Record
from lexiseg.errors import WeightsMissing

__all__ = [
    "Checkpoint", "cache_folder", "folder_of", "offline_reason", "pin", "pinned", "verify_all",
]  # fmt: skip

_OFFLINE = ("LEXISEG_OFFLINE", "HF_HUB_OFFLINE")


@dataclass(frozen=True)
class Checkpoint:
    """A record, and where its files lie, verified; `checkpoint["vision.safetensors"]` is a path."""

    record: Record
    paths: Mapping[str, Path]

    @classmethod
    def at(cls, record: Record, folder: Path) -> Checkpoint:
        """Return the checkpoint whose files lie in a folder."""
        return cls(record, {file.name: folder / file.name for file in record.files})

    def __getitem__(self, name: str) -> Path:
        """Return the path of the file of this name; KeyError where the record has none."""
        return self.paths[name]

    @property
    def sha256(self) -> dict[str, str]:
        """The SHA-256 of each file, as results keep them in their provenance."""
        return {file.name: file.sha256 for file in self.record.files}


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


def folder_of(record: Record) -> Path:
    """Return the folder of the cache where the files of a checkpoint of the table lie."""
    return cache_folder() / "checkpoints" / record.name


def pinned(record: Record, folder: Path) -> Record:
    """Return the record with what the first download of unknown files found.

    What the table knows stays: a pinned file that is not the table's is not believed.
    """
    if record.known or not (folder / MANIFEST).is_file():
        return record
    kept = read_manifest(folder)
    found = {file.name: file for file in kept.files}
    files = []
    for file in record.files:
        seen = found.get(file.name, file)
        files.append(
            replace(file, sha256=file.sha256 or seen.sha256, bytes=file.bytes or seen.bytes)
        )
    return replace(record, files=tuple(files), revision=record.revision or kept.revision)


def pin(record: Record, folder: Path) -> Record:
    """Keep what files turned out to be, so that they can be verified from now on."""
    described = {file.name: file for file in describe_files(folder, [f.name for f in record.files])}
    files = tuple(
        replace(file, sha256=described[file.name].sha256, bytes=described[file.name].bytes)
        for file in record.files
    )
    described_record = replace(record, files=files)
    write_manifest(folder, described_record)
    return described_record


def verify_all(record: Record, folder: Path, *, remedy: str) -> None:
    """Verify every file; raises WeightsMissing and CheckpointError, which end in `remedy`."""
    for file in record.files:
        path = folder / file.name
        if not path.is_file():
            raise WeightsMissing(f"{path} is missing, a part of {record.name!r}; {remedy}")
        verify(path, file, remedy=remedy)
