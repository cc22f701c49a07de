from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from lexiseg import device
from lexiseg.device import Compute, generator, pick, seeded
from lexiseg.errors import OptionError, UnknownName


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without any accelerator, whose CPU lacks bf16; tests add what they need."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    return monkeypatch


def add_cuda(machine: pytest.MonkeyPatch, count: int, capability: tuple[int, int]) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "device_count", lambda: count)
    machine.setattr(torch.cuda, "get_device_capability", lambda _: capability)


def names(compute: Compute) -> tuple[str, str]:
    return compute.device_name, compute.dtype_name


def test_a_plain_cpu_computes_in_fp32(machine: pytest.MonkeyPatch) -> None:
    assert names(pick()) == ("cpu", "fp32")
    assert names(pick("auto", "auto")) == ("cpu", "fp32")


@pytest.mark.parametrize("instruction", ["amx_bf16", "avx512_bf16", "bf16"])
def test_a_cpu_with_bf16_instructions_uses_them(
    machine: pytest.MonkeyPatch, instruction: str
) -> None:
    machine.setattr(torch.cpu, "get_capabilities", lambda: {instruction: True})
    assert names(pick("cpu")) == ("cpu", "bf16")
    assert names(pick("cpu", "fp32")) == ("cpu", "fp32")


@pytest.mark.parametrize("amx", [False, True])
def test_older_pytorch_is_asked_by_its_own_functions(
    machine: pytest.MonkeyPatch, amx: bool
) -> None:
    machine.delattr(torch.cpu, "get_capabilities")
    machine.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    machine.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert pick("cpu").dtype_name == ("bf16" if amx else "fp32")


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), "fp16"), ((8, 0), "bf16")])
def test_cuda_is_taken_first(
    machine: pytest.MonkeyPatch, capability: tuple[int, int], dtype: str
) -> None:
    add_cuda(machine, 2, capability)
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert names(pick()) == ("cuda:0", dtype)
    assert names(pick("cuda")) == ("cuda:0", dtype)
    assert names(pick("cuda:1", "fp32")) == ("cuda:1", "fp32")
    assert names(pick("cpu")) == ("cpu", "fp32")


def test_mps_comes_second_in_fp32(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert names(pick()) == ("mps", "fp32")
    assert names(pick("mps", "fp16")) == ("mps", "fp16")


@pytest.mark.parametrize("dtype", ["fp32", "float32", "bf16", "bfloat16"])
def test_a_format_that_is_asked_for_is_given(machine: pytest.MonkeyPatch, dtype: str) -> None:
    wanted = torch.float32 if "32" in dtype else torch.bfloat16
    assert pick("cpu", dtype).dtype == wanted


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", ""])
def test_an_unreadable_device_is_refused(machine: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(OptionError, match=r"use auto, cpu, cuda, cuda:N or mps"):
        pick(name)


def test_a_device_that_is_not_there_is_refused(machine: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"'cuda', but PyTorch .*; use auto or cpu"):
        pick("cuda")
    with pytest.raises(OptionError, match="no Metal"):
        pick("mps")
    with pytest.raises(OptionError, match="only one cpu; use cpu"):
        pick("cpu:3")
    add_cuda(machine, 2, (9, 0))
    with pytest.raises(OptionError, match=r"'cuda:2', but this machine has only cuda:0 to cuda:1"):
        pick("cuda:2")


def test_wrong_formats_are_refused(machine: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="fp16 is for GPUs"):
        pick("cpu", "fp16")
    with pytest.raises(UnknownName, match=r"no dtype is named 'bf61'; did you mean 'bf16'"):
        pick("cpu", "bf61")


def test_autocast_computes_in_the_format() -> None:
    left, right = torch.ones(2, 3), torch.ones(3, 4)
    with Compute(torch.device("cpu"), torch.bfloat16).autocast():
        assert (left @ right).dtype == torch.bfloat16
    with Compute(torch.device("cpu"), torch.float32).autocast():
        assert (left @ right).dtype == torch.float32


def test_a_generator_repeats_and_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    first = torch.rand(5, generator=generator(7))
    again = torch.rand(5, generator=generator(7))
    other = torch.rand(5, generator=generator(8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_seeded_repeats_and_puts_every_generator_back() -> None:
    with seeded(3):
        first = draw()
    untouched = draw()
    with seeded(3):
        assert draw() == first
    with seeded(4):
        assert draw() != first
    with seeded(5):
        pass
    with seeded(3):
        assert draw() == first
    assert draw() != untouched


def test_seeded_continues_the_outer_sequence() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    expected = [draw(), draw()]
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    actual = [draw()]
    with pytest.raises(ZeroDivisionError), seeded(9):
        _ = 1 / 0
    actual.append(draw())
    assert actual == expected


def test_the_real_machine_has_something() -> None:
    compute = pick()
    assert compute.device.type in ("cpu", "cuda", "mps")
    assert torch.zeros(2, 3, device=compute.device, dtype=compute.dtype).sum() == 0
    assert device.pick("cpu").device.type == "cpu"


def test_modules_are_made_without_memory_or_values_and_without_the_compiler() -> None:
    # The compiler takes a second to import, and nothing that is loaded from files needs it.
    code = (
        "import sys, torch\n"
        "from lexiseg.device import skip_init\n"
        "with skip_init():\n"
        "    made = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Conv2d(3, 4, 2))\n"
        "assert all(p.is_meta for p in made.parameters())\n"
        "assert [tuple(p.shape) for p in made.parameters()] == [(5, 3), (4, 3, 2, 2), (4,)]\n"
        "made = torch.nn.Linear(2, 3)  # drawn again, on the CPU\n"
        "assert made.weight.std() > 0\n"
        "import lexiseg\n"
        "lexiseg.load('dense')\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Net:
    """Remembers what was done to it."""

    def __init__(self) -> None:
        self.done: list[object] = []

    def to(self, device: torch.device) -> None:
        self.done.append(str(device))

    def compile(self, *, dynamic: bool | None) -> None:
        self.done.append(dynamic)


def test_nets_are_compiled_only_where_that_was_asked_for() -> None:
    cpu = torch.device("cpu")
    assert not pick("cpu", "fp32").compile
    for compute, done in (
        (Compute(cpu, torch.float32), [["cpu"], ["cpu"]]),
        (Compute(cpu, torch.float32, compile=True), [["cpu", None], ["cpu", True]]),
    ):
        one, other = Net(), Net()
        assert compute.ready(one) is one  # type: ignore[type-var]
        compute.ready(other, sizes_change=True)  # type: ignore[type-var]
        assert [one.done, other.done] == done


def test_where_nothing_can_be_compiled_the_reason_is_named(machine: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("\nNo working C++ compiler found\nand a long story")

    machine.setattr(torch, "compile", broken)
    with pytest.raises(
        OptionError, match=r"\(No working C\+\+ compiler found\); leave compile off"
    ):
        pick("cpu", "fp32", compile=True)
