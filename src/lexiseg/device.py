"""Where a model computes, in which number format, and what of the machine it takes."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lexiseg.errors import OptionError, UnknownName

if TYPE_CHECKING:
    import torch

    Net = TypeVar("Net", bound=torch.nn.Module)

__all__ = [
    "Compute", "OnDevice", "check_compiling", "check_process", "describe_machine", "generator",
    "peak_device_memory", "peak_memory", "pick", "reset_peak_memory", "seeded", "skip_init",
]  # fmt: skip

_DTYPES = {
    "fp32": "float32",
    "float32": "float32",
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp16": "float16",
    "float16": "float16",
}
_first_process: list[int] = []  # the id of the process that computed first
_SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class Compute:
    """A device that is there, and the number format to compute in on it.

    compile: nets that were made ``ready`` go through torch.compile.
    """

    device: torch.device
    dtype: torch.dtype
    compile: bool = False

    @property
    def device_name(self) -> str:
        """The device as a flag would name it: "cpu", "cuda:0", "mps"."""
        return str(self.device)

    @property
    def dtype_name(self) -> str:
        """The number format as a flag would name it: "fp32", "bf16" or "fp16"."""
        return _SHORT[str(self.dtype).removeprefix("torch.")]

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which fp32 models compute in `dtype` where that is safe."""
        import torch

        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def cast_weights(self, *nets: torch.nn.Module) -> None:
        """Keep the weights of linear and convolution layers in the format that autocast wants.

        It would cast them at every call. The layers then work inside ``autocast`` alone.
        """
        import torch

        for net in nets if self.dtype != torch.float32 else ():
            for layer in net.modules():
                if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                    layer.to(self.dtype)

    def ready(self, net: Net, *, sizes_change: bool = False) -> Net:
        """Return the net on the device; if asked to, its calls are compiled when first made.

        sizes_change: it will be called with tensors of many sizes, and is compiled once for all.
        """
        net.to(self.device)
        if self.compile:
            net.compile(dynamic=True if sizes_change else None)
        return net


class OnDevice:
    """A model that computes where its ``Compute`` says, and tells so."""

    _compute: Compute

    @property
    def device_name(self) -> str:
        """Where it computes, as a flag would name it."""
        return self._compute.device_name

    @property
    def dtype_name(self) -> str:
        """The number format that it computes in, as a flag would name it."""
        return self._compute.dtype_name


def pick(device: str | None = None, dtype: str | None = None, *, compile: bool = False) -> Compute:
    """Return the device and number format that were asked for, or the best that are there.

    device: "cpu", "cuda", "cuda:1", "mps"; None or "auto" takes CUDA, else MPS, else the CPU.
    dtype: "fp32", "bf16", "fp16" or torch's names; None or "auto" takes bf16 on CUDA (fp16 where
    the card lacks it) and on a CPU with instructions for it, and fp32 elsewhere: without such
    instructions bf16 is slower than fp32.

    compile: whether nets go through torch.compile, which takes minutes at first use.

    Raises OptionError for a device that is not there, a format that it cannot compute in, or where
    torch.compile does not work.
    """
    import torch

    found = _device(device)
    check_process(found.type)  # to load weights is to compute, too
    if compile:
        check_compiling(found)
    if dtype is None or dtype == "auto":
        return Compute(found, _best_dtype(found), compile)
    if dtype not in _DTYPES:
        raise UnknownName.among("dtype", dtype, ("auto", *_SHORT.values()))
    asked: torch.dtype = getattr(torch, _DTYPES[dtype])
    if found.type == "cpu" and asked == torch.float16:
        raise OptionError("fp16 is for GPUs, and the device is the CPU; use dtype fp32 or bf16")
    return Compute(found, asked, compile)


def check_compiling(device: torch.device) -> None:
    """Raise OptionError where torch.compile lacks a compiler, its headers, or Triton."""
    import torch

    try:
        # Compiled anew, so that a cache of earlier runs hides nothing.
        torch.compile(lambda x: x * 2 + 1)(torch.ones(3, device=device))
    except Exception as error:  # torch raises many kinds, some of them bare
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines or [type(error).__name__])[0][:200]
        raise OptionError(
            f"torch.compile does not work here ({reason}); leave compile off, or install what it "
            "wants: a C++ compiler for CPUs, Triton for GPUs"
        ) from error


def _device(name: str | None) -> torch.device:
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name is None or name == "auto":
        return torch.device("cuda:0" if cuda else "mps" if mps else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdecimal()):
        raise OptionError(f"the device is {name!r}; use auto, cpu, cuda, cuda:N or mps")
    index = int(number or 0)
    if kind == "cuda" and index >= cuda:
        there = f"only cuda:0 to cuda:{cuda - 1}" if cuda > 1 else "only cuda:0"
        why = _no_cuda() if cuda == 0 else f"this machine has {there}"
        raise OptionError(f"the device is {name!r}, but {why}; use auto or cpu")
    if kind == "mps" and not mps:
        raise OptionError(
            f"the device is {name!r}, but this machine or this PyTorch has no Metal; "
            f"use auto or cpu"
        )
    if kind != "cuda" and index > 0:
        raise OptionError(f"the device is {name!r}, but there is only one {kind}; use {kind}")
    return torch.device(f"cuda:{index}" if kind == "cuda" else kind)


def _no_cuda() -> str:
    import torch

    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is a build without CUDA"
    return f"PyTorch {torch.__version__} finds no NVIDIA GPU"


def _best_dtype(device: torch.device) -> torch.dtype:
    import torch

    if device.type == "cuda":
        # From compute capability 8.0 (Ampere) on; older cards only emulate bf16.
        newer = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if newer else torch.float16
    if device.type == "cpu" and _cpu_has_bf16():
        return torch.bfloat16
    return torch.float32


def _cpu_has_bf16() -> bool:
    """Return whether the CPU multiplies bf16 itself: AMX or AVX-512 BF16 on x86, BF16 on ARM."""
    import torch

    # Only newer PyTorch has this; the older functions know x86 alone.
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        return any(capabilities().get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check)() for check in checks if hasattr(torch.cpu, check))


def check_process(device_name: str = "cpu") -> None:
    """Make computing possible in a process that was forked from one that has computed.

    The threads of the first are not in the second, and waiting for them would never end: there, one
    thread computes. Called by `pick` and before each image, it costs nothing. device_name: as of
    `Compute`.
    Raises OptionError for a GPU, which a forked process cannot use.
    """
    here = os.getpid()
    if _first_process and _first_process[0] != here:
        import torch

        if device_name.startswith("cuda"):
            raise OptionError(
                "this process was forked from one that uses the GPU, and cannot use it; start "
                "processes by 'spawn': multiprocessing.get_context('spawn')"
            )
        torch.set_num_threads(1)
        _first_process.clear()
    if not _first_process:
        _first_process.append(here)


def generator(seed: int, device: torch.device | None = None) -> torch.Generator:
    """Return a random number generator of its own, which leaves torch's global one alone."""
    import torch

    return torch.Generator(device or "cpu").manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators, and put them back afterwards."""
    import random

    import numpy as np
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    # A generator of CUDA exists once CUDA does, and asking for it would start CUDA.
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    gpus = range(torch.cuda.device_count() if started else 0)
    with torch.random.fork_rng(gpus):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def skip_init() -> Iterator[None]:
    """Make modules without memory for their weights, and without drawing any: files have them.

    Drawing on the device "meta" alone would import PyTorch's compiler, which takes a second.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Skip(TorchFunctionMode):
        def __torch_function__(  # type: ignore[no-untyped-def]
            self, func, types, args=(), kwargs=None
        ):
            kwargs = kwargs or {}
            module, name = getattr(func, "__module__", ""), getattr(func, "__name__", "")
            drawn = module == "torch.nn.init" or name in ("normal_", "uniform_")
            if drawn:
                return args[0] if args else kwargs["tensor"]
            return func(*args, **kwargs)

    with torch.device("meta"), Skip():
        yield


def describe_machine() -> dict[str, Any]:
    """Return the processor, its cores, the memory and the system, as JSON values."""
    fields: dict[str, str] = {}
    if (path := Path("/proc/cpuinfo")).is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    there = hasattr(os, "sched_getaffinity")
    made: dict[str, Any] = {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if there else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        made["memory_gb"] = round(pages / 2**30)
    torch = sys.modules.get("torch")  # by now it is imported, if a model uses it
    if torch is not None and torch.cuda.is_available():
        made["gpu"] = torch.cuda.get_device_name()
    return made


def peak_memory() -> int | None:
    """Return the most memory that the process has held, in bytes; None where nobody tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    status = Path("/proc/self/status")
    if status.is_file():  # Linux counts what the parent held at the start into ru_maxrss
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def reset_peak_memory() -> bool:
    """Let `peak_memory` begin anew, where the system can (Linux); return whether it does."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_device_memory() -> int | None:
    """Return the most memory that was held on a CUDA device, in bytes; None without one."""
    torch = sys.modules.get("torch")  # by now the method has imported it, if it uses it
    if torch is None or not torch.cuda.is_available():
        return None
    return int(torch.cuda.max_memory_allocated())
