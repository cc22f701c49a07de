"""Encoded pictures by their digest: a second prompt on one costs only the decoder."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from threading import Lock
from typing import Any

from lexiseg.protocols import View

__all__ = ["ViewCache", "num_bytes"]

Key = tuple[str, str]  # digest of the file, method and models


class ViewCache:
    """Least recently used go first, once all together have more than `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._views: OrderedDict[Key, tuple[View[Any], int]] = OrderedDict()
        self._lock = Lock()
        self.bytes = self.hits = self.misses = 0

    def __len__(self) -> int:
        return len(self._views)

    def get(self, key: Key) -> View[Any] | None:
        """Return a view, if it is still there."""
        with self._lock:
            found = self._views.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._views.move_to_end(key)
            return found[0]

    def any_of(self, digest: str) -> View[Any] | None:
        """Return a view of a picture, made by whatever method."""
        with self._lock:
            for (of, _), (view, _) in reversed(self._views.items()):
                if of == digest:
                    return view
        return None

    def put(self, key: Key, view: View[Any]) -> None:
        """Keep a view; one that is larger than the whole cache is not kept."""
        size = num_bytes(view)
        with self._lock:
            _, old = self._views.pop(key, (None, 0))
            self.bytes -= old
            if size > self._max_bytes:
                return
            self._views[key] = (view, size)
            self.bytes += size
            while self.bytes > self._max_bytes:
                _, (_, gone) = self._views.popitem(last=False)
                self.bytes -= gone

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._views.clear()
            self.bytes = 0


def num_bytes(value: object) -> int:
    """Return the bytes of all arrays and tensors in a value; what two share counts once."""
    return sum(_storages(value, {}).values())


def _storages(value: object, found: dict[int, int]) -> dict[int, int]:
    if value is None or isinstance(value, str | int | float | bool):
        return found
    if isinstance(value, bytes):
        found[id(value)] = len(value)
    elif (storage := getattr(value, "untyped_storage", None)) is not None:  # a tensor
        found[storage().data_ptr()] = storage().nbytes()
    elif hasattr(value, "nbytes") and hasattr(value, "dtype"):  # an array, or a part of one
        base = getattr(value, "base", None)
        base = value if base is None else base
        found[id(base)] = getattr(base, "nbytes", value.nbytes)
    elif isinstance(value, Mapping):
        for part in value.values():
            _storages(part, found)
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            _storages(getattr(value, one.name), found)
    elif isinstance(value, Iterable):
        for part in value:
            _storages(part, found)
    return found
