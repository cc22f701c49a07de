"""No stage changes what it was given: arguments are compared byte by byte around every call."""

from __future__ import annotations

import functools
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.contract.test_methods import FINDING, METHODS, OPENING, Case, case

import lexiseg.methods
import lexiseg.stages
from lexiseg import Like

__all__ = ["case"]  # a fixture

Function = Callable[..., Any]

# Method and its model -> what it is run with besides its defaults, so that its stages have work.
CASES: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("dense", "colours"): [{"threshold": 0.3, "scales": (1.0, 1.5), "flip": True}],
    ("dense", "drawn"): [
        {"refine": "none", "threshold": 0.2, "area_threshold": 0.05, "layers": (8, 10)},
        {"refine": "pamr", "readout": "sclip", "scales": (1.0, 1.5), "flip": True},
    ],
    **{(method, "drawn"): [{"refine": "none", "threshold": 0.2}] for method in OPENING},
    ("clipseg", "colours"): [
        {"refine": "pamr", "fusion": "attention"}, {"refine": "sam", "prepare": ("crop", "blur")},
    ],
    ("clip-then-sam", "colours"): [
        {"nested": True, "points_per_side": 6, "negative_points": 2, "threshold": 0.3},
    ],
    ("sam-then-clip", "colours"): [
        {"scoring": "crops", "top_k": 2}, {"crop_n_layers": 1, "min_mask_region_area": 30},
        {"use_m2m": True, "threshold": 0.2},
    ],
    **{(method, "boxes"): [{"top_k": 1}] for method in FINDING},
}  # fmt: skip


def stage_modules() -> list[ModuleType]:
    return [
        import_module(found.name)
        for found in pkgutil.iter_modules(lexiseg.stages.__path__, "lexiseg.stages.")
    ]


def arrays(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every array and tensor in a value, with where it is; models and iterators are not entered."""
    if isinstance(value, np.ndarray | torch.Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from arrays(part, f"{path}[{key!r}]")
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for i, part in enumerate(value):
            yield from arrays(part, f"{path}[{i}]")
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from arrays(getattr(value, field.name), f"{path}.{field.name}")


def prints(arguments: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Type, shape and a digest of all bytes of each array in the arguments."""
    out = {}
    for path, array in arrays(arguments):
        whole = array.detach().cpu().contiguous() if isinstance(array, torch.Tensor) else array
        if isinstance(whole, torch.Tensor):
            whole = whole.view(torch.uint8) if whole.ndim else whole.reshape(1).view(torch.uint8)
        data = np.ascontiguousarray(np.asarray(whole)).tobytes()
        out[path] = (str(array.dtype), tuple(array.shape), blake2b(data).hexdigest())
    return out


def watched(function: Function, name: str, called: set[str], changed: set[str]) -> Function:
    """The function, which also notes that it was called, and which arguments it changed."""
    signature = inspect.signature(function)

    def compare(before: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        after = prints(arguments)
        changed.update(f"{name}: {p}" for p in before if before[p] != after.get(p))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        called.add(name)
        arguments = signature.bind(*args, **kwargs).arguments
        before = prints(arguments)
        result = function(*args, **kwargs)
        if not inspect.isgenerator(result):
            compare(before, arguments)
            return result

        def items() -> Iterator[Any]:
            yield from result
            compare(before, arguments)

        return items()

    return call


def watch(monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], set[str], set[str]]:
    """Watch all public functions and methods of stages; return their names, the called, changes."""
    for found in pkgutil.walk_packages(lexiseg.methods.__path__, "lexiseg.methods."):
        import_module(found.name)  # before, so that none keeps a watched function
    names: set[str] = set()
    called: set[str] = set()
    changed: set[str] = set()
    for module in stage_modules():
        short = module.__name__.rpartition(".")[2]
        for public in getattr(module, "__all__", ()):
            thing = getattr(module, public)
            if getattr(thing, "__module__", None) != module.__name__:
                continue
            name = f"{short}.{public}"
            if isinstance(thing, FunctionType):
                names.add(name)
                double = watched(thing, name, called, changed)
                for holder in [m for n, m in sys.modules.items() if n.startswith("lexiseg.")]:
                    for attribute, value in list(vars(holder).items()):
                        if value is thing:
                            monkeypatch.setattr(holder, attribute, double)
            elif isinstance(thing, type):
                for attribute, value in list(vars(thing).items()):
                    if isinstance(value, FunctionType) and not attribute.startswith("_"):
                        names.add(f"{name}.{attribute}")
                        double = watched(value, f"{name}.{attribute}", called, changed)
                        monkeypatch.setattr(thing, attribute, double)
    return names, called, changed


def run(case: Case, picture: NDArray[np.uint8], settings: Mapping[str, Any]) -> None:
    """Everything that a method takes: synonyms, exclusion, background, closed, examples, clicks."""
    seg = case.load(**settings)
    view = seg.prepare(picture)
    red, green, blue, grey = "red", "green", "blue", "grey"
    seg(view, f"{red}|crimson; {green} -{blue}")
    seg(view, [red, green, "background"])
    seg(view, [red, green, blue, grey], background=None)
    if case.method not in FINDING:
        seg(view, [Like.of(picture, box=(50, 10, 70, 30), name="square"), red])
    if case.method == "clip-then-sam":
        seg(view, [red, blue], points=[(12, 12)], boxes=[(48, 8, 72, 32)], not_points=[(75, 50)])
        seg(view, points=[(12, 12)])


def test_every_method_is_run() -> None:
    assert {method for method, _ in CASES} == set(METHODS)


@pytest.mark.parametrize("case", CASES, indirect=True, ids="-".join)
def test_no_stage_changes_its_arguments(
    case: Case, garden: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    names, called, changed = watch(monkeypatch)
    defaults: dict[str, Any] = {}
    for settings in [defaults, *CASES[case.method, case.encoder]]:
        run(case, garden, settings)
    assert called <= names
    assert len(called) > 3
    assert changed == set()


def test_a_changed_argument_is_noticed() -> None:
    called: set[str] = set()
    changed: set[str] = set()

    def guilty(labels: NDArray[np.int16], many: tuple[Any, ...], kept: NDArray[np.int16]) -> int:
        labels[0, 0] = 7
        many[0]["t"].add_(1)
        return int(kept[0])

    call = watched(guilty, "guilty", called, changed)
    call(np.zeros((2, 3), np.int16), ({"t": torch.zeros(2)},), kept=np.ones(2, np.int16))
    assert called == {"guilty"}
    assert changed == {"guilty: ['labels']", "guilty: ['many'][0]['t']"}
    changed.clear()

    def late(labels: NDArray[np.int16]) -> Iterator[int]:
        yield 1
        labels[:] = 3

    assert list(watched(late, "late", called, changed)(np.zeros(3, np.int16))) == [1]
    assert changed == {"late: ['labels']"}
