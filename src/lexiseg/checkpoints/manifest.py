"""A folder of weights that describes itself: `manifest.json` holds its record."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from lexiseg.checkpoints._verify import sha256_of
from lexiseg.checkpoints.records import Record, WeightFile
from lexiseg.errors import CheckpointError

__all__ = ["MANIFEST", "describe_files", "read_manifest", "write_manifest"]

MANIFEST = "manifest.json"


def read_manifest(folder: Path) -> Record:
    """Return the record in `folder`/manifest.json; the files themselves are not looked at.

    Raises CheckpointError where it is not a record, and FileNotFoundError where there is none.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not JSON ({error}); copy or make the folder again"
        ) from error
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
    temporary = path.with_name(f".{MANIFEST}.{os.getpid()}")
    temporary.write_text(json.dumps(record.to_json(), indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path
