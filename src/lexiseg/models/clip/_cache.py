"""Word vectors on disk, so that no vocabulary is encoded twice by the same weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from lexiseg.checkpoints import cache_folder


def file_of(checkpoint: Mapping[str, str], templates: Sequence[str], dtype: str) -> Path:
    """Return the file that keeps the vectors of a checkpoint, a list of templates and a format."""
    key = json.dumps([sorted(checkpoint.values()), list(templates), dtype])
    return cache_folder() / "words" / f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors"


def read(path: Path) -> dict[str, Tensor]:
    """Return word -> vector (D,); nothing where the file is absent or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError):
        return {}


def add(path: Path, vectors: Mapping[str, Tensor]) -> None:
    """Add vectors to the file; a folder that cannot be written forgets them."""
    from safetensors.torch import save_file

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may have added its own since: read again just before writing.
        save_file({**read(path), **vectors}, temporary)
        os.replace(temporary, path)
