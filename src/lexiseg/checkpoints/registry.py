"""The checkpoints that have a name: the bundled one and those of the table."""

from __future__ import annotations

from pathlib import Path

from lexiseg.checkpoints.manifest import MANIFEST, read_manifest
from lexiseg.checkpoints.records import Record
from lexiseg.checkpoints.table import TABLE
from lexiseg.errors import OptionError, UnknownName, WeightsMissing

__all__ = ["bundled_folder", "get", "names", "records", "register"]

_PACKAGE = Path(__file__).parents[1]

# Name -> folder in the package; the record is the folder's own manifest.
_BUNDLED: dict[str, str] = {"tiny": "models/tiny/weights"}

_REMOTE: dict[str, Record] = dict(TABLE)


def names() -> tuple[str, ...]:
    """Return the names of all checkpoints, sorted."""
    return tuple(sorted([*_BUNDLED, *_REMOTE]))


def records() -> tuple[Record, ...]:
    """Return the records of all checkpoints, sorted by name."""
    return tuple(get(name) for name in names())


def get(name: str) -> Record:
    """Return the record of a checkpoint; raises UnknownName with the nearest names."""
    if name in _REMOTE:
        return _REMOTE[name]
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
    folder = _BUNDLED.get(name)
    return None if folder is None else _PACKAGE / folder


def register(record: Record) -> None:
    """Add a checkpoint to the table; raises OptionError where its name is taken."""
    if record.name in names():
        raise OptionError(f"the checkpoint name {record.name!r} is taken; give it another one")
    if not record.repo and not all(file.url for file in record.files):
        raise OptionError(
            f"the checkpoint {record.name!r} says not where its files come from; give it repo and "
            f"revision, or every file an url"
        )
    _REMOTE[record.name] = record
