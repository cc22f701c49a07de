"""The tensors of a TorchScript archive, read without running any code that it holds.

OpenAI published CLIP as TorchScript: a zip with code, a pickle of the module tree (``data.pkl``)
and one file a tensor. Loading it the usual way compiles and runs what it holds. Here the pickle
is read by an unpickler that knows modules as bare bags of attributes, and tensors; any other name
in it is refused.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lexiseg.errors import CheckpointError

__all__ = ["is_torchscript", "read_torchscript"]

_DTYPES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
}


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive: a zip with code in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Return parameters and buffers by their names.

    Raises CheckpointError where the archive is damaged or holds anything but modules and tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (data,) = (n for n in archive.namelist() if n.count("/") == 1 and _is_data(n))
            root = data.removesuffix("data.pkl")
            entries = [i for i in archive.infolist() if i.filename.startswith(f"{root}data")]
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise ValueError("it unpacks to more than it holds")  # torch stores what it saves
            tree = _Reader(archive, root, archive.read(data)).load()
    except (
        AttributeError, EOFError, IndexError, KeyError, RuntimeError, TypeError, ValueError,
        pickle.UnpicklingError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise CheckpointError(
            f"{path} cannot be read as a TorchScript archive ({error}); copy or pull it again"
        ) from error
    state: dict[str, Tensor] = {}
    _collect(tree, "", state)
    return state


def _is_data(name: str) -> bool:
    return name.endswith("/data.pkl")


class _Module:
    """A module of the archive: its attributes, and nothing that runs."""

    def __setstate__(self, state: Any) -> None:
        self.attributes = dict(state) if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self._archive, self._root = archive, root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return _Module
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name in _LISTS:
            return _LISTS[name]
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not a tensor")

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"it refers to {kind!r}, which is not a tensor's storage")
        if key not in self._storages:
            # A copy, so that the tensor may be written to.
            values = bytearray(self._archive.read(f"{self._root}data/{key}"))
            whole = torch.frombuffer(values, dtype=dtype) if values else torch.empty(0, dtype=dtype)
            self._storages[key] = whole[:count]
        return self._storages[key]


def _view(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset)


def _given(values: Any, *_: Any) -> Any:
    return values


_LISTS: dict[str, Callable[..., Any]] = dict.fromkeys(
    ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist", "restore_type_tag"),
    _given,
)


def _collect(module: Any, prefix: str, state: dict[str, Tensor]) -> None:
    for name, value in getattr(module, "attributes", {}).items():
        if isinstance(value, Tensor):
            state[prefix + name] = value
        elif isinstance(value, _Module):
            _collect(value, f"{prefix}{name}.", state)
