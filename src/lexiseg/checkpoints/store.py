"""Checkpoints by name or place: resolved, pulled, verified, removed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lexiseg.checkpoints import registry
from lexiseg.checkpoints.cache import (
    delete,
    folder_of,
    locked,
    offline_reason,
    sha256_of,
    text_cache_folder,
    verify,
    verify_all,
)
from lexiseg.checkpoints.recognise import is_path, open_path
from lexiseg.checkpoints.records import Checkpoint, Record, WeightFile
from lexiseg.checkpoints.registry import with_pin, write_manifest
from lexiseg.errors import CheckpointError, OptionError, OutputError, WeightsMissing

__all__ = ["is_here", "pull", "remove", "remove_words", "resolve", "verify_again"]


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
        return open_path(Path(name).expanduser())
    record = registry.get(name)
    bundled = registry.bundled_folder(name)
    if bundled is not None:
        # Always read: they are few bytes, and the cache is not touched for them.
        verify_all(record, bundled, remedy="install lexiseg again", fresh=True)
        return Checkpoint.at(record, bundled)
    if pull:
        return _pull(record, offline, trust=False)
    folder, record = folder_of(record), with_pin(record)
    absent = [file.name for file in record.files if not (folder / file.name).is_file()]
    if absent:
        more = f" and {len(absent) - 3} more files" if len(absent) > 3 else ""
        size = f"{record.bytes / 1e6:,.0f} MB in all, " if record.bytes else ""
        raise WeightsMissing(
            f"the weights of {name!r} are not on this machine ({', '.join(absent[:3])}{more}, "
            f"{size}{record.licence}); to download them: {_command(record)}"
        )
    _check_trust(record)
    verify_all(record, folder, remedy=f"delete it, then: {_command(record)}")
    return Checkpoint.at(record, folder)


def pull(name: str, *, trust: bool = False, offline: bool | None = None) -> Checkpoint:
    """Download what is missing of a checkpoint of the table, and return it as `resolve` does.

    trust: take files whose digests nobody published as they are now. They are pinned by that:
        from then on no others are taken. Without it such a first pull raises WeightsMissing.
    """
    if is_path(name) or registry.bundled_folder(name) is not None:
        return resolve(name)
    return _pull(registry.get(name), offline, trust=trust)


def verify_again(name: str | Path) -> Checkpoint:
    """Return a checkpoint as `resolve` does, with every byte read again.

    Raises WeightsMissing and CheckpointError as `resolve` does.
    """
    checkpoint = resolve(name)
    for file in checkpoint.record.files:
        remedy = f"delete it, then: {_command(checkpoint.record)}"
        verify(checkpoint[file.name], file, remedy=remedy, fresh=True)
    return checkpoint


def remove(name: str) -> Path | None:
    """Delete what was downloaded of a checkpoint of the table, half-fetched files too.

    Returns the folder that is gone; None where there was none. Raises OptionError for bundled
    weights, which belong to the package, and OutputError where the folder cannot be deleted.
    """
    record = registry.get(name)
    if registry.bundled_folder(name) is not None:
        raise OptionError(f"{name!r} is a part of lexiseg itself; uninstall lexiseg to remove it")
    folder = folder_of(record)
    return folder if delete(folder) else None


def remove_words() -> Path | None:
    """Delete the vectors of words that were kept; return the folder that is gone, or None."""
    folder = text_cache_folder()
    return folder if delete(folder) else None


def is_here(record: Record) -> bool:
    """Return whether all files of a checkpoint of the table are there, by name and size alone."""
    folder = registry.bundled_folder(record.name) or folder_of(record)
    return all(_has(folder / file.name, file) for file in with_pin(record).files)


def _has(path: Path, file: WeightFile) -> bool:
    return path.is_file() and file.bytes in (0, path.stat().st_size)


def _command(record: Record) -> str:
    return f"lexiseg models pull {record.name}{'' if with_pin(record).pinned else ' --trust'}"


def _check_trust(record: Record) -> None:
    if not record.pinned:
        raise WeightsMissing(
            f"{record.name!r} is not pinned: nobody has published the digests of its files, so "
            f"nothing tells them from others; to take them as they are now, and these from then "
            f"on: {_command(record)}"
        )


def _pull(record: Record, offline: bool | None, *, trust: bool) -> Checkpoint:
    folder = folder_of(record)
    if not trust:
        _check_trust(with_pin(record))
    with locked(folder):
        record = with_pin(record)
        try:
            folder.mkdir(exist_ok=True)
            for index in range(len(record.files)):
                record = _pull_file(record, index, folder, offline)
        except OSError as error:
            raise OutputError(
                f"the cache folder {folder} cannot be used ({error.strerror or error}); set "
                f"LEXISEG_CACHE to a folder that can be written"
            ) from error
    return Checkpoint.at(record, folder)


def _pull_file(record: Record, index: int, folder: Path, offline: bool | None) -> Record:
    """Return the record with one more file in its folder, and pinned, where it was not yet."""
    file, commit = record.files[index], ""
    path = folder / file.name
    try:
        if path.is_file():
            verify(path, file, remedy="fetching it again")
    except CheckpointError:
        path.unlink()
    if path.is_file():
        got = replace(file, sha256=sha256_of(path), bytes=path.stat().st_size)
    else:
        switch = offline_reason(offline)
        if switch is not None:
            raise WeightsMissing(
                f"{file.name} of {record.name!r} must be downloaded, but {switch} forbids it; "
                f"allow connections, or copy the file from another machine to {path}"
            )
        from lexiseg.checkpoints.download import fetch

        got, commit = fetch(record, file, folder)
    if record.pinned:
        return record
    files = (*record.files[:index], got, *record.files[index + 1 :])
    record = replace(record, files=files, revision=record.revision or commit)
    write_manifest(folder, record)
    return record
