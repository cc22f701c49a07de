"""The GPU of the tests: what it refuses and counts, worked out by hand from what CUDA does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from tests.conftest import ColourEncoder
from tests.device_double import CPU, GPU, DeviceDouble, DeviceMismatch
from tests.flood import FloodMasker
from torch import Tensor

from lexiseg.protocols import MaskPrompts, RawMasks


@pytest.fixture
def double() -> Iterator[DeviceDouble]:
    with DeviceDouble() as double:
        yield double


def pair() -> tuple[Tensor, Tensor]:
    """(3, 2) on the GPU: 0 1, 2 3, 4 5; and (3,) on the CPU: 0 1 2."""
    return torch.arange(6.0, device=GPU).view(3, 2), torch.arange(3)


def test_tensors_tell_their_device(double: DeviceDouble) -> None:
    gpu, cpu = pair()
    assert gpu.device == gpu[1:].T.device == GPU
    assert cpu.device == torch.zeros(2).device == torch.from_numpy(np.zeros(2)).device == CPU
    assert gpu.is_cuda
    assert not cpu.is_cuda
    for made in (
        gpu * 2, gpu.sum(), gpu.new_zeros(2), gpu.new_tensor([1.0]), gpu.flatten().sort()[1],
        torch.ones_like(gpu), torch.tensor([1], device=gpu.device), cpu.to(GPU),
        cpu.to("cuda"), cpu.cuda(), cpu.to(gpu), gpu.to(torch.float64),
    ):  # fmt: skip
        assert made.device == GPU
    for made in (gpu.cpu(), gpu.to("cpu"), gpu.to(CPU, torch.float64), gpu.to(cpu), cpu.to("cpu")):
        assert made.device == CPU
    assert gpu.cpu().tolist() == [[0, 1], [2, 3], [4, 5]]
    assert gpu.to(cpu).dtype == torch.int64


def test_outside_nothing_has_changed() -> None:
    with DeviceDouble():
        gpu, _ = pair()
    assert gpu.device == CPU
    assert gpu.numpy().sum() == 15


def test_moves_copy(double: DeviceDouble) -> None:
    gpu, cpu = pair()
    cpu.to(GPU).add_(1)
    gpu.cpu().add_(1)
    assert cpu.tolist() == [0, 1, 2]
    assert gpu.sum().item() == 15
    assert cpu.to(CPU) is cpu
    assert gpu.to(GPU) is gpu


def test_freed_storages_leave_no_mark(double: DeviceDouble) -> None:
    for _ in range(200):
        torch.zeros(10, device=GPU)
        assert torch.zeros(10).device == CPU


def test_models_move(double: DeviceDouble) -> None:
    gpu, _ = pair()
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3)).to(GPU)
    assert net(gpu).device == GPU
    with torch.inference_mode():
        assert net(gpu).device == GPU
        with pytest.raises(DeviceMismatch):
            net(gpu.cpu())


MEET: list[Callable[[Tensor, Tensor], object]] = [
    lambda gpu, cpu: gpu[:, 0] + cpu,
    lambda gpu, cpu: gpu[cpu],
    lambda gpu, cpu: gpu[[0, 2]],
    lambda gpu, cpu: gpu[cpu > 1],
    lambda gpu, cpu: cpu.float()[gpu[:, 0].long()],
    lambda gpu, cpu: gpu.gather(0, cpu[:, None]),
    lambda gpu, cpu: torch.cat([gpu[:, 0], cpu]),
    lambda gpu, cpu: torch.stack([gpu.sum(), cpu.sum()]),
    lambda gpu, cpu: torch.where(cpu > 1, gpu[:, 0], 0.0),
    lambda gpu, cpu: gpu.sum() + cpu,  # a number of the GPU does not come to the CPU by itself
    lambda gpu, cpu: torch.nn.functional.linear(gpu, torch.zeros(4, 2)),
]


@pytest.mark.parametrize("meet", MEET, ids=range(len(MEET)))
def test_two_devices_do_not_meet(
    double: DeviceDouble, meet: Callable[[Tensor, Tensor], object]
) -> None:
    gpu, cpu = pair()
    with pytest.raises(DeviceMismatch, match="two devices"):
        meet(gpu, cpu)


def test_numbers_go_along(double: DeviceDouble) -> None:
    gpu, cpu = pair()
    assert (gpu * 2 + cpu.sum() + torch.tensor(1.0)).device == GPU
    gpu[0] = 7
    gpu[:, 1] = cpu  # as ``copy_``: a move
    assert gpu.tolist() == [[7, 0], [2, 1], [4, 2]]


@pytest.mark.parametrize("read", [np.asarray, Tensor.numpy])
def test_numpy_does_not_reach_a_gpu(double: DeviceDouble, read: Callable[[Tensor], object]) -> None:
    gpu, cpu = pair()
    with pytest.raises(TypeError, match=r"use Tensor\.cpu"):
        read(gpu)
    np.testing.assert_array_equal(read(cpu), [0, 1, 2])


COUNTS: list[tuple[Callable[[Tensor], object], int]] = [
    (lambda x: x.sum().item(), 1),
    (lambda x: bool(x.any()), 1),
    (lambda x: int(x[0, 0]) + float(x[0, 1]), 2),
    (lambda x: [0, 1][x[0, 1].long()], 1),
    (lambda x: x.tolist(), 1),
    (lambda x: x.cpu().numpy(), 1),
    (lambda x: x.to("cpu", torch.float64), 1),
    (lambda x: torch.zeros(3, 2).copy_(x), 1),
    (lambda x: x[x > 2], 1),
    (lambda x: x[torch.zeros(3, dtype=torch.bool, device=GPU)], 1),
    (lambda x: x.nonzero(), 1),
    (lambda x: torch.where(x > 2), 1),
    (lambda x: torch.unique(x), 1),
    (lambda x: x.masked_select(x > 2), 1),
    (lambda x: torch.equal(x, x), 1),
    (lambda x: torch.bincount(x.flatten().long()), 1),
    (lambda x: x.repeat_interleave(torch.ones(3, dtype=torch.int64, device=GPU), 0), 1),
    (lambda x: x[: x[0, 1].long()], 1),
    (lambda x: x.index_put_((x > 2,), torch.zeros(3, device=GPU)), 1),
    # None of these waits.
    (lambda x: x.repeat_interleave(2), 0),
    (lambda x: x.index_put_((x > 2,), torch.tensor(0.0)), 0),
    (lambda x: x.masked_fill(x > 2, 0), 0),
    (lambda x: torch.where(x > 2, x, 0), 0),
    (lambda x: x[torch.tensor([2, 0], device=GPU)], 0),
    (lambda x: [row.max() for row in x], 0),
    (lambda x: (x @ x.T).softmax(0).topk(2).indices.flatten().sort(), 0),
    (lambda x: torch.zeros(3, 2).to(GPU) + x, 0),
]


@pytest.mark.parametrize(("work", "count"), COUNTS, ids=range(len(COUNTS)))
def test_waits_are_counted(
    double: DeviceDouble, work: Callable[[Tensor], object], count: int
) -> None:
    gpu, _ = pair()
    with double.counting() as waits:
        work(gpu)
    assert len(waits) == count


def test_the_cpu_waits_for_nothing(double: DeviceDouble) -> None:
    _, x = pair()
    assert x.sum().item() + bool(x.any()) + int(x[0]) == 4
    assert x[x > 0].tolist() == x[x.nonzero()[:, 0]].unique().tolist() == [1, 2]
    assert not double.waits


def test_a_wait_names_its_line(double: DeviceDouble) -> None:
    from lexiseg.stages.mask_selection import grid_iou

    with double.counting() as waits:
        grid_iou(torch.ones(2, 3, 4, device=GPU))
    assert [wait.where.split(":")[0] for wait in waits] == ["lexiseg.stages.mask_selection"]
    assert waits[0].where.endswith(" grid_iou")


def test_models_of_the_tests_stand_on_it(double: DeviceDouble, colours: ColourEncoder) -> None:
    encoder = double.on_gpu(colours)
    assert encoder.device_name == "cuda:0"
    assert encoder.scale == colours.scale
    assert encoder.text(["red"]).device == GPU
    assert encoder.dense(torch.zeros(1, 8, 8, 3, dtype=torch.uint8)).device == GPU
    masker = double.on_gpu(FloodMasker())
    state = masker.encode(np.zeros((6, 8, 3), np.uint8))
    prompts = MaskPrompts(torch.full((1, 1, 2), 3.0), torch.ones(1, 1, dtype=torch.int64))
    devices = []

    def keep(raw: RawMasks) -> Tensor:
        devices.append(raw.logits.device)
        return raw.quality > 0.86  # 0.9, 0.8 and 0.85 are its three

    with double.counting() as waits:
        raw = masker.decode(state, prompts, keep=keep)
    assert devices == [raw.logits.device] == [GPU]
    assert len(raw) == 1
    assert not waits, "its own work is not the caller's"
