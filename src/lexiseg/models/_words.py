"""Word vectors, kept in memory and on disk: no word is encoded twice by the same weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.checkpoints import cache_folder
from lexiseg.checkpoints._lock import alone_in

__all__ = ["KeptWords"]

_FORMAT = 1  # counted up where the same weights give other vectors
_MARK = "="  # before words, so that none is taken for a name of the file format's own


class KeptWords:
    """The vectors that a checkpoint has given to words, by templates and word.

    sha256: file name -> digest of the checkpoint's weights; empty where they are not known: then
        vectors are kept in memory alone. dim: D.
    """

    def __init__(self, sha256: Mapping[str, str], dtype: str, dim: int) -> None:
        self._digests, self._dtype, self._dim = sorted(sha256.values()), dtype, dim
        self._kept: dict[tuple[str, ...], dict[str, Tensor]] = {}

    def vectors(
        self,
        words: Sequence[str],
        templates: Sequence[str],
        encode: Callable[[list[str]], Tensor],
    ) -> Tensor:
        """Return the vectors of words, (K, D) float32, on the CPU.

        encode: gives the vectors of those that are not known yet, (N, D), each word once.
        """
        key = tuple(templates)
        file = self._file(key) if self._digests else None
        if key not in self._kept:
            self._kept[key] = self._read(file) if file else {}
        known = self._kept[key]
        new = [word for word in dict.fromkeys(words) if word not in known]
        if new:
            fresh = dict(zip(new, encode(new).float().cpu().unbind(), strict=True))
            known.update(fresh)
            if file:
                self._add(file, fresh)
        return torch.stack([known[word] for word in words])

    def _file(self, templates: Sequence[str]) -> Path:
        key = json.dumps([_FORMAT, self._digests, list(templates), self._dtype])
        digest = hashlib.sha256(key.encode()).hexdigest()
        return cache_folder() / "words" / f"{digest}.safetensors"

    def _read(self, path: Path) -> dict[str, Tensor]:
        """Return what a file holds; nothing of one that is absent, damaged or not ours."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            read = load_file(path)
        except (OSError, SafetensorError, ValueError):
            return {}
        return {
            name.removeprefix(_MARK): vector
            for name, vector in read.items()
            if name.startswith(_MARK)
            and vector.shape == (self._dim,)
            and vector.dtype == torch.float32
            and bool(vector.isfinite().all())
        }

    def _add(self, path: Path, vectors: Mapping[str, Tensor]) -> None:
        """Add vectors to the file; a folder that cannot be written forgets them."""
        from safetensors.torch import save_file

        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Others may add words at the same time: one after the other, none is lost.
            with alone_in(path.parent):
                temporary = path.with_name(f".{path.name}.{os.getpid()}")
                all_of_them = {**self._read(path), **vectors}
                marked = {f"{_MARK}{word}": v.contiguous() for word, v in all_of_them.items()}
                save_file(marked, temporary)
                os.replace(temporary, path)
