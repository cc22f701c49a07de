"""Are these the bytes of the record?"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from lexiseg.checkpoints.records import WeightFile
from lexiseg.errors import CheckpointError

# Beside downloaded files: what each looked like when its digest was last found right.
STAMPS = ".verified.json"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, file: WeightFile, *, remedy: str) -> None:
    """Raise CheckpointError, which ends in `remedy`, unless `path` holds exactly `file`.

    What the record does not know is not compared.
    """
    size = path.stat().st_size
    if file.bytes and size != file.bytes:
        raise CheckpointError(
            f"{path} is damaged: it has {size:,} bytes, its record says {file.bytes:,}; {remedy}"
        )
    if not file.sha256:
        return
    digest = sha256_of(path)
    if digest != file.sha256:
        raise CheckpointError(
            f"{path} is damaged or another file: its SHA-256 is {digest[:12]}..., its record says "
            f"{file.sha256[:12]}...; {remedy}"
        )


def verify_once(path: Path, file: WeightFile, *, remedy: str) -> None:
    """Verify, but trust a file whose size and time have not changed since it was found right.

    Reading gigabytes again at every start would cost more than starting.
    """
    if _stamps(path.parent).get(file.name) == _stamp(path, file):
        return
    verify(path, file, remedy=remedy)
    note_verified(path, file)


def note_verified(path: Path, file: WeightFile) -> None:
    """Remember that `path` was found to hold `file`; a folder that cannot be written forgets."""
    stamps = _stamps(path.parent) | {file.name: _stamp(path, file)}
    temporary = path.with_name(f"{STAMPS}.{os.getpid()}")
    with suppress(OSError):
        temporary.write_text(json.dumps(stamps), encoding="utf-8")
        os.replace(temporary, path.parent / STAMPS)


def _stamp(path: Path, file: WeightFile) -> list[Any]:
    now = path.stat()
    return [file.sha256, now.st_size, now.st_mtime_ns]


def _stamps(folder: Path) -> dict[str, Any]:
    try:
        values = json.loads((folder / STAMPS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # absent or cut short: verify again
    return values if isinstance(values, dict) else {}
