"""Weights that the user has, by their place: told by manifest, content or configuration."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lexiseg.checkpoints import registry
from lexiseg.checkpoints.cache import sha256_of, verify, verify_all
from lexiseg.checkpoints.recognise.files import describe_file
from lexiseg.checkpoints.recognise.folders import describe_folder
from lexiseg.checkpoints.records import Checkpoint, Record
from lexiseg.checkpoints.registry import MANIFEST, read_manifest, with_pin
from lexiseg.errors import CheckpointError, WeightsMissing

__all__ = ["describe_file", "describe_folder", "is_path", "open_path"]


def is_path(name: str) -> bool:
    """Return whether a text means a place on this machine, and not a name of the table."""
    return "/" in name or "\\" in name or name.startswith(("~", "."))


def open_path(path: Path) -> Checkpoint:
    """Return the checkpoint at a folder or file, verified as far as it is known.

    Raises WeightsMissing where nothing is there, CheckpointError where it is not known weights.
    """
    if not path.exists():
        raise WeightsMissing(
            f"there is no folder or file {path}; give the folder that holds the weights, or a "
            f"name of `lexiseg models`"
        )
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (path / MANIFEST).is_file():
        record = read_manifest(path)
        for file in record.files:
            if not file.sha256:
                raise CheckpointError(
                    f"{path / MANIFEST} says no SHA-256 of {file.name}; copy or make the folder "
                    f"again"
                )
        verify_all(record, path, remedy="copy or make the folder again")
        return Checkpoint.at(record, path)
    for name in registry.names():
        with suppress(WeightsMissing):  # a package without its bundled weights knows less
            located = _recognise(registry.get(name), path)
            if located is not None:
                return located
    described = describe_folder(path) if path.is_dir() else describe_file(path)
    if described is not None:
        return Checkpoint.at(described, folder)
    raise CheckpointError(
        f"{path} is not known weights: it has no {MANIFEST}, no configuration of transformers or "
        f"OpenCLIP beside its weights, and its files are those of no checkpoint in `lexiseg "
        f"models`; give a folder that `lexiseg train` made, or a checkpoint's own files under "
        f"their own names"
    )


def _recognise(record: Record, path: Path) -> Checkpoint | None:
    """Return `record` with its files at `path`, where their content is the record's.

    Raises CheckpointError where sizes are the record's and contents are not.
    """
    record = with_pin(record)
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
        if not file.bytes and sha256_of(place) != file.sha256:
            return None
    for file in record.files:
        verify(places[file.name], file, remedy=f"it looks like {record.name!r}; copy it again")
    return Checkpoint(record, places)
