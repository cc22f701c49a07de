"""The names of all checkpoints, and the record that stands beside the files of one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lexiseg.checkpoints.cache import folder_of, read_json, sha256_of, write_whole
from lexiseg.checkpoints.records import Record, WeightFile
from lexiseg.checkpoints.table import TABLE
from lexiseg.errors import CheckpointError, OptionError, UnknownName, WeightsMissing

__all__ = [
    "MANIFEST",
    "bundled_folder",
    "describe_files",
    "get",
    "names",
    "read_manifest",
    "records",
    "register",
    "with_pin",
    "write_manifest",
]


PACKAGE = Path(__file__).parents[1]  # of lexiseg, where bundled weights are

# The tables of names that are known: name -> folder in the package, whose record is its own
# manifest; name -> record of what is downloaded.
BUNDLED: dict[str, str] = {"tiny": "models/tiny/weights"}
REMOTE: dict[str, Record] = dict(TABLE)


def names() -> tuple[str, ...]:
    """Return the names of all checkpoints, sorted."""
    return tuple(sorted([*BUNDLED, *REMOTE]))


def records() -> tuple[Record, ...]:
    """Return the records of all checkpoints, sorted by name."""
    return tuple(get(name) for name in names())


def get(name: str) -> Record:
    """Return the record of a checkpoint; raises UnknownName with the nearest names."""
    if name in REMOTE:
        return REMOTE[name]
    folder = bundled_folder(name)
    if folder is None:
        raise UnknownName.among("checkpoint", name, names())
    if not (folder / MANIFEST).is_file():
        raise WeightsMissing(
            f"the weights of {name!r} belong into the package but are not in {folder}; "
            f"install lexiseg again"
        )
    return read_manifest(folder)


def bundled_folder(name: str) -> Path | None:
    """Return the folder in the package that holds a checkpoint; None for one of the table."""
    folder = BUNDLED.get(name)
    return None if folder is None else PACKAGE / folder


def register(record: Record) -> None:
    """Add a checkpoint to the table; raises OptionError where its name is taken."""
    if record.name in names():
        raise OptionError(f"the checkpoint name {record.name!r} is taken; give it another one")
    if not record.repo and not all(file.url for file in record.files):
        raise OptionError(
            f"the checkpoint {record.name!r} says not where its files come from; give it repo and "
            f"revision, or every file an url"
        )
    REMOTE[record.name] = record


MANIFEST = "manifest.json"


def read_manifest(folder: Path) -> Record:
    """Return the record in `folder`/manifest.json; the files themselves are not looked at.

    Raises CheckpointError where it is not a record, or where there is none.
    """
    path = folder / MANIFEST
    values = read_json(path)
    try:
        return Record.from_json(values)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is not a record: {error}") from error


def describe_files(folder: Path, names: Iterable[str]) -> tuple[WeightFile, ...]:
    """Return size and SHA-256 of the files of these names, for the record of a new manifest."""
    return tuple(
        WeightFile(name, sha256_of(folder / name), (folder / name).stat().st_size) for name in names
    )


def write_manifest(folder: Path, record: Record) -> Path:
    """Write `record` into `folder`/manifest.json, whole or not at all, and return its path."""
    path = folder / MANIFEST
    write_whole(path, json.dumps(record.to_json(), indent=2) + "\n")
    return path


def with_pin(record: Record) -> Record:
    """Return a record of the table with what its first pull found of unknown files.

    What the table knows stays: a pinned file that is not the table's is not believed.
    """
    folder = folder_of(record)
    if record.pinned or not (folder / MANIFEST).is_file():
        return record
    kept = read_manifest(folder)
    pins = {file.name: file for file in kept.files}
    files = []
    for file in record.files:
        pin = pins.get(file.name, file)
        files.append(replace(file, sha256=file.sha256 or pin.sha256, bytes=file.bytes or pin.bytes))
    return replace(record, files=tuple(files), revision=record.revision or kept.revision)
