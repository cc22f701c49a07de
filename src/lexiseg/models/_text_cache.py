"""Vectors of words, kept in memory and on disk: no word is encoded twice by the same weights.

On disk no word stands in plain text: a vector's key is a keyed hash, whose key lies beside it. So
the file does not list what was asked; but whoever can read it can still try out whether a given
word was.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from secrets import token_bytes

import numpy as np
import torch
from torch import Tensor

from lexiseg.checkpoints.cache import text_cache_folder

__all__ = ["TextCache"]

_FORMAT = 2  # counted up where the same weights give other vectors
_MOST = 20_000  # vectors, in memory and on disk: 60 MB of those of 768 numbers
_TABLES = (
    "vectors (number INTEGER PRIMARY KEY, key BLOB UNIQUE, vector BLOB)",
    "secret (one INTEGER PRIMARY KEY, value BLOB)",
)
_SECRET = "SELECT value FROM secret"
_FIND = "SELECT vector FROM vectors WHERE key = ?"
_WAIT_S = 10.0  # for other processes that write


class TextCache:
    """The vectors that a checkpoint has given to words, by templates and word.

    sha256: file name -> digest of the checkpoint's weights; empty where they are not known: then
        vectors are kept in memory alone. dim: D.
    """

    def __init__(self, sha256: Mapping[str, str], dtype: str, dim: int) -> None:
        self._digests, self._dtype, self._dim = sorted(sha256.values()), dtype, dim
        self._kept: dict[tuple[tuple[str, ...], str], Tensor] = {}

    def __len__(self) -> int:
        """How many vectors are kept in memory."""
        return len(self._kept)

    def vectors(
        self,
        words: Sequence[str],
        templates: Sequence[str],
        encode: Callable[[list[str]], Tensor],
    ) -> Tensor:
        """Return the vectors of words, (K, D) float32, on the CPU.

        encode: gives the vectors of those that are not known yet, (N, D), each word once.
        """
        group = tuple(templates)
        if len(self._kept) > _MOST:
            self._kept.clear()
        new = [word for word in dict.fromkeys(words) if (group, word) not in self._kept]
        if new:
            self._read(group, new)
            new = [word for word in new if (group, word) not in self._kept]
        if new:
            fresh = dict(zip(new, encode(new).float().cpu().unbind(), strict=True))
            self._kept |= {(group, word): vector for word, vector in fresh.items()}
            self._write(group, fresh)
        return torch.stack([self._kept[group, word] for word in words])

    def _read(self, group: tuple[str, ...], words: Sequence[str]) -> None:
        """Take the vectors of words from the disk; nothing that is damaged or not ours."""

        def read(database: sqlite3.Connection, secret: bytes) -> None:
            for word, key in self._keys(secret, group, words).items():
                for (value,) in database.execute(_FIND, (key,)):
                    if not isinstance(value, bytes) or len(value) != 4 * self._dim:
                        continue
                    vector = np.frombuffer(value, "<f4")
                    if np.isfinite(vector).all():
                        self._kept[group, word] = torch.from_numpy(vector.astype(np.float32))

        if self._digests and _file().is_file():
            _on_disk(read)

    def _write(self, group: tuple[str, ...], vectors: Mapping[str, Tensor]) -> None:
        """Add vectors to those on the disk, of which the oldest go where they are too many."""

        def write(database: sqlite3.Connection, secret: bytes) -> None:
            keys = self._keys(secret, group, vectors)
            rows = [(keys[w], v.numpy().astype("<f4").tobytes()) for w, v in vectors.items()]
            with database:
                database.executemany(
                    "INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows
                )
                database.execute(
                    "DELETE FROM vectors WHERE number <= (SELECT max(number) FROM vectors) - ?",
                    (_MOST,),
                )

        if self._digests:
            _on_disk(write)

    def _keys(
        self, secret: bytes, group: tuple[str, ...], words: Iterable[str]
    ) -> dict[str, bytes]:
        shared = json.dumps([_FORMAT, self._digests, self._dtype, group]).encode()
        start = hashlib.blake2b(shared, key=secret, digest_size=16)
        keys = {}
        for word in words:
            full = start.copy()
            full.update(word.encode("utf-8", "surrogatepass"))
            keys[word] = full.digest()
        return keys


def _file() -> Path:
    return text_cache_folder() / "vectors.sqlite"


def _on_disk(work: Callable[[sqlite3.Connection, bytes], None]) -> None:
    """Do something with the file and its key; where that fails, the disk forgets."""
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.parent.chmod(0o700)
            for readable in path.parent.glob("*.safetensors"):
                readable.unlink(missing_ok=True)  # of earlier versions, with words in plain text
        with closing(sqlite3.connect(path, timeout=_WAIT_S)) as database:
            work(database, _secret(database))
    except (OSError, sqlite3.OperationalError):
        pass  # a folder that cannot be written, or a file that another process holds
    except sqlite3.DatabaseError:  # damaged
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _secret(database: sqlite3.Connection) -> bytes:
    """Return the key of the file's hashes; a new file gets its tables and a key of its own."""
    for table in _TABLES:
        database.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    row = database.execute(_SECRET).fetchone()
    if row is None:
        with database:
            database.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (token_bytes(32),))
        row = database.execute(_SECRET).fetchone()
    if not isinstance(row[0], bytes) or len(row[0]) != 32:
        raise sqlite3.DatabaseError("it holds no key")
    return row[0]
