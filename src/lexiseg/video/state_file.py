"""Values of a run in a file that holds no code: a tree of plain values, arrays and tensors."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging

__all__ = ["load_state", "save_state"]


def save_state(path: Path, tree: Any) -> None:
    """Write dicts, lists, tuples, None, numbers, texts, arrays and tensors, nested at will.

    Raises OutputError, and TypeError for anything else.
    """
    arrays: list[NDArray[Any]] = []
    text = json.dumps(_packed(tree, arrays), ensure_ascii=False).encode("utf-8", "backslashreplace")
    file = io.BytesIO()
    named: Any = {f"a{number}": one for number, one in enumerate(arrays)}
    np.savez(file, tree=np.frombuffer(text, np.uint8), **named)
    imaging.write_bytes(path, file.getvalue())


def load_state(path: Path) -> Any:
    """Return what `save_state` wrote; tensors are on the CPU. Raises OSError, ValueError."""
    with np.load(path, allow_pickle=False) as file:
        return _unpacked(json.loads(file["tree"].tobytes()), file)


def _packed(tree: Any, arrays: list[NDArray[Any]]) -> Any:
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if isinstance(tree, dict):
        return {"d": [[_packed(k, arrays), _packed(v, arrays)] for k, v in tree.items()]}
    if isinstance(tree, list | tuple):
        return {"l" if isinstance(tree, list) else "t": [_packed(one, arrays) for one in tree]}
    kind = "array"
    if not isinstance(tree, np.ndarray):
        import torch

        if not isinstance(tree, torch.Tensor):
            raise TypeError(f"a {type(tree).__name__} cannot be kept in a file")
        kind = str(tree.dtype).removeprefix("torch.")
        tree = tree.detach().cpu().contiguous()
        tree = (tree.view(torch.int16) if kind == "bfloat16" else tree).numpy()
    arrays.append(tree)
    return {"a": len(arrays) - 1, "kind": kind}


def _unpacked(packed: Any, arrays: Any) -> Any:
    if not isinstance(packed, dict):
        return packed
    if "d" in packed:
        return {_unpacked(k, arrays): _unpacked(v, arrays) for k, v in packed["d"]}
    for name, kind in (("l", list), ("t", tuple)):
        if name in packed:
            return kind(_unpacked(one, arrays) for one in packed[name])
    array = arrays[f"a{packed['a']}"]
    if packed["kind"] == "array":
        return array
    import torch

    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if packed["kind"] == "bfloat16" else tensor
