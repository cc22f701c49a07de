"""A folder of weights that describes itself: `manifest.json` holds its record.

Beside a download it holds what the first pull found of files whose digests nobody published.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lexiseg.checkpoints.cache import folder_of, read_json, sha256_of, write_whole
from lexiseg.checkpoints.records import Record, WeightFile
from lexiseg.errors import CheckpointError

__all__ = ["MANIFEST", "describe_files", "read_manifest", "with_pin", "write_manifest"]

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
