"""The training loop: schedule and average against slow code, runs that repeat, go on, refuse."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lexiseg.device import seeded
from lexiseg.errors import OptionError
from lexiseg.training.loop import (
    FitSettings,
    Fitted,
    RunOptions,
    average_of,
    deterministic,
    fit,
    lr_factor,
    prefetch,
)
from lexiseg.training.run_folder import RunFolder, digest, save_atomically

SETTINGS = FitSettings(
    steps=12, lr=0.05, warmup_steps=3, weight_decay=0.1, ema_decay=0.9, save_every=4, seed=5
)


def new_net() -> nn.Module:
    with seeded(1):
        return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3), nn.Tanh(), nn.Linear(6, 1))


def make_batch(step: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng([3, step])
    x = torch.from_numpy(rng.normal(size=(8, 4)).astype(np.float32))
    return x, x.sum(1, keepdim=True)


def run(
    out: Path, settings: FitSettings = SETTINGS, net: nn.Module | None = None, **more: Any
) -> Fitted[nn.Module]:
    net = net or new_net()

    def step_loss(batch: tuple[Tensor, Tensor], number: int) -> tuple[Tensor, Mapping[str, float]]:
        loss = (net(batch[0]) - batch[1]).square().mean()
        return loss, {"twice": 2 * float(loss.detach())}

    return fit(
        net, more.pop("make_batch", make_batch), step_loss, settings,
        RunFolder(out, asdict(settings)), **more,
    )  # fmt: skip


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


# The schedule


def slow_factor(step: int, settings: FitSettings) -> float:
    """By cases: rising, at its height, falling, over."""
    rising = (step + 1) / settings.warmup_steps if step < settings.warmup_steps else 1.0
    length = settings.steps if settings.decay_steps is None else settings.decay_steps
    begin = settings.steps - length
    if step <= begin:
        shape = 1.0
    elif step >= settings.steps:
        shape = 0.0
    elif settings.decay == "linear":
        shape = (settings.steps - step) / length
    else:
        shape = 0.5 + 0.5 * math.cos(math.pi * (step - begin) / length)
    last = settings.final_lr / settings.lr
    return rising * (last + (1 - last) * shape)


@pytest.mark.parametrize("decay", ["cosine", "linear"])
@pytest.mark.parametrize("decay_steps", [None, 17])
@pytest.mark.parametrize("final_lr", [0.0, 2e-4])
def test_the_schedule_is_warm_up_and_a_fall(
    decay: Any, decay_steps: int | None, final_lr: float
) -> None:
    settings = FitSettings(
        steps=40, lr=3e-3, final_lr=final_lr, warmup_steps=7, decay=decay, decay_steps=decay_steps
    )
    for step in range(45):
        assert lr_factor(step, settings) == pytest.approx(slow_factor(step, settings), rel=1e-12)


def test_the_schedule_is_that_of_torch() -> None:
    """LinearLR times CosineAnnealingLR, which reckon each rate from the one before."""
    settings = FitSettings(steps=30, lr=1e-3, warmup_steps=6)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), 1e-3)
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 6, 1.0, total_iters=5)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
    both = torch.optim.lr_scheduler.ChainedScheduler([rise, fall])
    for step in range(30):
        rate = optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(1e-3 * lr_factor(step, settings), rel=1e-9)
        optimizer.step()
        both.step()
    to_last = replace(settings, warmup_steps=0, final_lr=1e-4)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), 1e-3)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30, 1e-4)
    for step in range(30):
        rate = optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(1e-3 * lr_factor(step, to_last), rel=1e-9)
        optimizer.step()
        fall.step()


def test_the_average_is_a_slow_one() -> None:
    net = nn.Linear(2, 1)
    average = average_of(net, 0.8)
    wanted = net.weight.detach().double()
    for step in range(60):
        with torch.no_grad():
            net.weight.fill_(float(step))
        average.update_parameters(net)
        keep = min(0.8, (1 + step) / (10 + step))
        wanted = keep * wanted + (1 - keep) * step
    torch.testing.assert_close(average.module.weight.double(), wanted, rtol=1e-5, atol=0)
    assert not average.module.weight.requires_grad


def test_a_run_is_a_slow_loop(tmp_path: Path) -> None:
    """AdamW by its paper's formulas (Loshchilov and Hutter 2019, algorithm 2), step by step."""
    settings = replace(SETTINGS, steps=9, max_grad_norm=0.5, save_every=100)
    net = nn.Linear(4, 1)
    weights = [p.detach().double() for p in net.parameters()]
    fitted = run(tmp_path, settings, net)
    average = [w.clone() for w in weights]
    first = [torch.zeros_like(w) for w in weights]
    second = [torch.zeros_like(w) for w in weights]
    for step in range(9):
        x, y = (t.double() for t in make_batch(step))
        leaves = [w.clone().requires_grad_() for w in weights]
        loss = (x @ leaves[0].T + leaves[1] - y).square().mean()
        grads = torch.autograd.grad(loss, leaves)
        norm = float(torch.cat([g.flatten() for g in grads]).norm())
        grads = [g * min(1.0, 0.5 / (norm + 1e-6)) for g in grads]
        rate = 0.05 * slow_factor(step, settings)
        for k, g in enumerate(grads):
            first[k] = 0.9 * first[k] + 0.1 * g
            second[k] = 0.999 * second[k] + 0.001 * g**2
            mean, square = first[k] / (1 - 0.9 ** (step + 1)), second[k] / (1 - 0.999 ** (step + 1))
            weights[k] = weights[k] - rate * 0.1 * weights[k] - rate * mean / (square**0.5 + 1e-8)
            keep = min(0.9, (1 + step) / (10 + step))
            average[k] = keep * average[k] + (1 - keep) * weights[k]
        assert lines(tmp_path)[step]["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    for made, wanted in zip(fitted.net.parameters(), average, strict=True):
        torch.testing.assert_close(made.double(), wanted, rtol=1e-4, atol=1e-6)


# Runs


def test_a_run_in_parts_is_the_whole_run_bit_for_bit(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    assert (whole.steps, whole.finished) == (12, True)
    assert not whole.net.training
    part = run(tmp_path / "parts", options=RunOptions(stop_after=5))
    assert (part.steps, part.finished) == (5, False)
    assert not same(part.net, whole.net)
    again = run(tmp_path / "parts")
    assert same(again.net, whole.net)
    assert again.finished
    assert same(run(tmp_path / "parts").net, whole.net)  # nothing is left to do
    assert [line["step"] for line in lines(tmp_path / "parts")] == list(range(12))
    for a, b in zip(lines(tmp_path / "parts"), lines(tmp_path / "whole"), strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
        assert a["twice"] == pytest.approx(2 * a["loss"], abs=2e-6)


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    """Killed in step 6, after the checkpoint of step 4: steps 4 and 5 are done again."""
    whole = run(tmp_path / "whole")

    def killed(line: Mapping[str, float]) -> None:
        if line["step"] == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", writers=[killed])
    assert RunFolder(tmp_path / "killed", asdict(SETTINGS)).load()["step"] == 4  # type: ignore[index]
    with open(tmp_path / "killed" / "log.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 7, "lo')  # cut off in the middle of a line
    assert same(run(tmp_path / "killed").net, whole.net)
    assert [line["step"] for line in lines(tmp_path / "killed")] == list(range(12))


def test_a_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    run(tmp_path, options=RunOptions(stop_after=3))
    before = (tmp_path / "recipe.json").read_text()
    with pytest.raises(OptionError) as error:
        run(tmp_path, replace(SETTINGS, lr=0.1, seed=6))
    message = str(error.value)
    assert "lr 0.05 (now 0.1)" in message
    assert "seed 5 (now 6)" in message
    assert str(tmp_path) in message
    assert (tmp_path / "recipe.json").read_text() == before
    nested = {"a": {"b": 1, "c": [1, 2]}, "words": ["w"] * 20}
    RunFolder(tmp_path / "n", nested).save({"step": 1})
    RunFolder(tmp_path / "n", {"words": ["w"] * 20, "a": {"c": (1, 2), "b": 1}})
    with pytest.raises(OptionError, match=r"a\.c \[1, 2\] \(now null\), words a list of 20"):
        RunFolder(tmp_path / "n", {"a": {"b": 1}, "words": ["w"] * 21})
    (tmp_path / "n" / "recipe.json").unlink()
    with pytest.raises(OptionError, match="cannot be continued"):
        RunFolder(tmp_path / "n", nested)


def test_other_settings_before_the_first_checkpoint_begin_a_run(tmp_path: Path) -> None:
    RunFolder(tmp_path, {"lr": 1})
    RunFolder(tmp_path, {"lr": 2})
    assert json.loads((tmp_path / "recipe.json").read_text()) == {"lr": 2}


def test_the_best_weights_are_returned_also_after_a_kill(tmp_path: Path) -> None:
    measured: list[tuple[float, dict[str, Tensor]]] = []

    def evaluate(net: nn.Module) -> dict[str, float]:
        assert not net.training
        weights = {name: w.clone() for name, w in net.state_dict().items()}
        score = math.sin(1000 * float(weights["0.weight"].sum()))  # up and down
        measured.append((score, weights))
        return {"score": score}

    how: dict[str, Any] = {"evaluate": evaluate, "evaluate_every": 1, "select": "score"}
    whole = run(tmp_path / "whole", **how)
    scores = [score for score, _ in measured]
    best = measured[int(np.argmax(scores))][1]
    assert 0 < int(np.argmax(scores)) < 11  # neither the first nor the last
    assert all(torch.equal(w, best[name]) for name, w in whole.net.state_dict().items())
    logged = [line["score"] for line in lines(tmp_path / "whole")]
    np.testing.assert_allclose(logged, scores, atol=1e-6)
    run(tmp_path / "cut", options=RunOptions(stop_after=9), **how)
    assert same(run(tmp_path / "cut", **how).net, whole.net)


def test_gathered_gradients_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    def halves(batch: tuple[Tensor, Tensor]) -> list[tuple[Tensor, Tensor]]:
        return list(zip(*(part.split(4) for part in batch), strict=True))

    nets = []
    for name, split in (("whole", None), ("halves", halves)):
        net = new_net()
        net[1] = nn.Identity()  # type: ignore[index]  # dropout differs by part
        nets.append(run(tmp_path / name, net=net, split=split).net)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    assert lines(tmp_path / "halves")[3]["loss"] == pytest.approx(
        lines(tmp_path / "whole")[3]["loss"], abs=2e-6
    )


def test_the_global_generators_stay_as_they_are(tmp_path: Path) -> None:
    def states() -> list[Any]:
        return [torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())]  # noqa: NPY002

    before = states()
    assert torch.are_deterministic_algorithms_enabled() is False
    run(tmp_path)
    assert states() == before
    assert torch.are_deterministic_algorithms_enabled() is False
    with deterministic():
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.are_deterministic_algorithms_enabled() is False


def test_a_failing_batch_stops_the_run(tmp_path: Path) -> None:
    def fails(step: int) -> tuple[Tensor, Tensor]:
        if step == 7:
            raise ValueError("no such photo")
        return make_batch(step)

    with pytest.raises(ValueError, match="no such photo"):
        run(tmp_path, make_batch=fails)
    assert [line["step"] for line in lines(tmp_path)] == list(range(7))


def test_batches_come_in_order_a_few_ahead() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step * step

    feed = prefetch(make, range(3, 11), ahead=2)
    assert next(feed) == 9
    assert list(feed) == [16, 25, 36, 49, 64, 81, 100]
    assert made == list(range(3, 11))
    assert list(prefetch(make, range(4, 4))) == []


# Progress and files


def test_progress_is_a_bar_on_terminals_and_lines_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[str] = []
    run(tmp_path / "pipe", options=RunOptions(log=logged.append, progress=True))
    assert [json.loads(line)["step"] for line in logged] == [0]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(tmp_path / "silent")
    assert capsys.readouterr().err == ""
    run(tmp_path / "terminal", options=RunOptions(log=logged.append, progress=True))
    assert "12/12" in capsys.readouterr().err
    assert len(logged) == 1


def test_a_checkpoint_is_whole_or_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_atomically(path, {"step": 1})

    def full(values: Any, beside: Path) -> None:
        beside.write_bytes(b"half of it")
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(OSError, match="no space"):
            save_atomically(path, {"step": 2})
    assert torch.load(path, weights_only=True) == {"step": 1}
    save_atomically(path, {"step": 3})
    assert torch.load(path, weights_only=True) == {"step": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_digest_tells_contents_and_their_borders_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"photo")
    first = digest("ab", "c", tmp_path / "a")
    assert first == digest("ab", b"c", b"photo")
    assert first != digest("a", "bc", tmp_path / "a")
    (tmp_path / "a").write_bytes(b"Photo")
    assert first != digest("ab", "c", tmp_path / "a")
