"""A GPU for tests that needs none: tensors have a logical device, and waits for it are counted.

Values stay in the CPU's memory. Each storage is marked with the device that it would be on, so that
views share it, and ``Tensor.device`` tells it. Operations whose tensors are on two devices fail, as
on a GPU; a tensor of indices on the CPU fails too, although PyTorch would move it silently.
``Tensor.to``, ``cpu``, ``cuda`` and ``copy_`` move, and nothing else does.

Synchronisations are what a GPU's queue must be empty for: values that come to the host (``item``,
``cpu``, ``tolist``, ``bool``, ``int``) and results whose size depends on values (``nonzero``, a
boolean index, ``unique``). Moves towards the GPU are not counted.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lexiseg.device import Compute

__all__ = ["CPU", "GPU", "DeviceDouble", "DeviceMismatch", "Synchronisation"]

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")

# Operations that wait for values, or whose result has a size that depends on them.
_WAITS = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique", "_unique2", "unique_dim",
    "unique_consecutive", "unique_dim_consecutive", "equal", "bincount", "is_nonzero",
}  # fmt: skip
_JOINS = {"cat", "stack"}  # which take no scalar from the CPU, as arithmetic does
_INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}


class DeviceMismatch(RuntimeError):
    """Tensors of two devices met in one operation."""


@dataclasses.dataclass(frozen=True)
class Synchronisation:
    """operation: what waited. where: the innermost line of lexiseg that asked for it."""

    operation: str
    where: str


class DeviceDouble:
    """A context in which ``GPU`` is there; outside of it, tensors are what they are.

    waits: the synchronisations so far.
    """

    def __init__(self) -> None:
        self.waits: list[Synchronisation] = []
        self._marks: dict[int, StorageWeakRef] = {}  # storages on the GPU
        self._stack = ExitStack()
        self._paused = False

    @property
    def compute(self) -> Compute:
        """What models are built with to be on the GPU; fp32."""
        return Compute(GPU, torch.float32)

    def __enter__(self) -> DeviceDouble:
        self._stack.enter_context(_Dispatch(self))
        self._stack.enter_context(_Function(self))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @contextmanager
    def counting(self) -> Iterator[list[Synchronisation]]:
        """Yield a list that holds what is counted inside, once it is over."""
        out: list[Synchronisation] = []
        before = len(self.waits)
        yield out
        out.extend(self.waits[before:])

    @contextmanager
    def paused(self, paused: bool = True) -> Iterator[None]:
        """Inside, devices are not looked at, new tensors get none, and nothing is counted."""
        self._paused, before = paused, self._paused
        try:
            yield
        finally:
            self._paused = before

    def device(self, x: Tensor) -> torch.device:
        """Where a tensor is."""
        return GPU if self.key(x) in self._marks else CPU

    def put(self, x: Tensor, device: torch.device) -> Tensor:
        """Mark a tensor, and all that share its storage, as being on a device."""
        with torch._C.DisableTorchFunction():
            key = self.key(x)
            if device.type == "cpu":
                self._marks.pop(key, None)
            elif key not in self._marks:
                if len(self._marks) > 100_000:
                    self._marks = {k: r for k, r in self._marks.items() if not r.expired()}
                # The reference keeps the storage's address from being given to another one.
                self._marks[key] = StorageWeakRef(x.untyped_storage())
        return x

    def on_gpu(self, model: Any) -> Any:
        """Return a model of the tests, made for the CPU, as if it computed on the GPU."""
        return _OnGpu(self, model)

    def wait(self, operation: str) -> None:
        self.waits.append(Synchronisation(operation, _where()))

    @property
    def active(self) -> bool:
        return not self._paused

    @staticmethod
    def key(x: Tensor) -> int:
        with torch._C.DisableTorchFunction():
            return int(x.untyped_storage()._cdata)


def _where() -> str:
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("lexiseg."):
            return f"{name}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


class _Dispatch(TorchDispatchMode):
    """Checks the devices of every operation's tensors, and marks its results."""

    def __init__(self, double: DeviceDouble) -> None:
        super().__init__()
        self._double = double

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        double = self._double
        if not double.active:
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        devices = [double.device(x) for x in given]
        device = GPU if GPU in devices else CPU
        if name == "copy_" and len(set(devices)) == 2:
            if devices[0] == CPU:
                double.wait("copy_")
            return func(*args, **kwargs)
        if device == GPU:
            # A number in a CPU tensor goes along with the kernel.
            lax = name not in _JOINS
            wrong = [
                x
                for x, d in zip(given, devices, strict=True)
                if d == CPU and not (lax and x.dim() == 0)
            ]
            if wrong:
                shapes = ", ".join(
                    f"{tuple(x.shape)} on {d}" for x, d in zip(given, devices, strict=True)
                )
                raise DeviceMismatch(f"{name} of tensors on two devices: {shapes} ({_where()})")
            if _waits(name, args, kwargs):
                double.wait(name)
        out = func(*args, **kwargs)
        if device == GPU:
            for x in tree_leaves(out):
                if isinstance(x, Tensor):
                    double.put(x, GPU)
        return out


def _waits(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    if name in _WAITS:
        return True
    if name == "repeat_interleave":
        tensors = [x for x in args if isinstance(x, Tensor)]
        counts = tensors[-1] if len(tensors) > 1 or len(args) == 1 else None
        return counts is not None and kwargs.get("output_size") is None
    if name in _INDEXED:
        indices = [x for x in args[1] if x is not None]
        masks = [x for x in indices if x.dtype in (torch.bool, torch.uint8)]
        if masks and name != "index" and len(indices) == 1 and args[2].numel() == 1:
            return False  # one value where a mask is true: no place is looked for
        return bool(masks)
    return False


class _Function(TorchFunctionMode):
    """Devices in arguments and attributes, and what never comes to an operation."""

    def __init__(self, double: DeviceDouble) -> None:
        super().__init__()
        self._double = double

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        double = self._double
        if not double.active:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name == "__get__":
            name = _attribute(func)
            if name == "device" and args[0].is_meta:
                return func(*args)
            if name in ("device", "is_cuda"):
                device = double.device(args[0])
                return device if name == "device" else device == GPU
        if args and isinstance(args[0], Tensor):
            x, here = args[0], double.device(args[0])
            if name in ("to", "cpu", "cuda"):
                return self._move(func, name, x, args[1:], kwargs)
            if here == GPU and name in ("numpy", "__array__"):
                raise TypeError(
                    "can't convert cuda:0 device type tensor to numpy; use Tensor.cpu()"
                )
            if here == GPU and name == "tolist":
                double.wait("tolist")
                with double.paused():
                    return func(*args, **kwargs)
            if name == "new_tensor" and "device" not in kwargs:
                kwargs["device"] = here
        device = kwargs.get("device")
        if device is None or torch.device(device).type == "meta":
            return func(*args, **kwargs)
        kwargs["device"] = CPU
        out = func(*args, **kwargs)
        for made in tree_leaves(out):
            if isinstance(made, Tensor):
                double.put(made, torch.device(device))
        return out

    def _move(
        self, func: Callable[..., Any], name: str, x: Tensor, args: Sequence[Any], kwargs: Any
    ) -> Tensor:
        """``to``, ``cpu`` and ``cuda``: the part that changes numbers, then the device."""
        double = self._double
        here = double.device(x)
        target: torch.device | None = None
        kept: list[torch.dtype] = []
        if name == "to":
            device = kwargs.pop("device", None)
            for value in (*args, kwargs.pop("other", None), device):
                if isinstance(value, Tensor):
                    target = double.device(value)
                    kept.append(value.dtype)
                elif isinstance(value, torch.dtype):
                    kept.append(value)
                elif isinstance(value, str | torch.device):
                    target = torch.device(value)
                elif isinstance(value, int) and not isinstance(value, bool):
                    target = torch.device("cuda", value)
            kwargs.pop("non_blocking", None)
        else:
            target, kwargs = CPU if name == "cpu" else GPU, {}
        out = x.to(*kept, **kwargs) if kept or kwargs else x
        if target is None or (target.type == here.type):
            return out
        if out is x or double.key(out) == double.key(x):
            with torch._C.DisableTorchFunction():
                out = out.clone()
        if target.type == "cpu":
            double.wait("cpu")
        return double.put(out, target)


def _attribute(func: Any) -> str:
    """The name of the property whose getter this is."""
    name = resolve_name(func)
    parts = (name or "").split(".")
    return parts[-2] if len(parts) > 1 else ""


class _OnGpu:
    """A model of the tests: tensors come back as the GPU's, and its own work is not watched."""

    def __init__(self, double: DeviceDouble, model: Any) -> None:
        self._double, self._model = double, model

    device_name = str(GPU)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._model, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            args = tuple(self._watched(x) for x in args)
            kwargs = {key: self._watched(x) for key, x in kwargs.items()}
            with self._double.paused():
                return self._marked(value(*args, **kwargs))

        return call

    def _watched(self, value: Any) -> Any:
        """A callable among the arguments is the caller's, and is watched again."""
        if not callable(value) or isinstance(value, Tensor):
            return value

        def call(*args: Any) -> Any:
            marked = [self._marked(x) for x in args]
            with self._double.paused(False):
                return value(*marked)

        return call

    def _marked(self, value: Any) -> Any:
        for x in _tensors(value):
            self._double.put(x, GPU)
        return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _tensors(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
