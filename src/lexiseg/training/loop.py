"""The training loop of every recipe: exactly resumable, and the same numbers on each run.

A batch is a function of its step alone, so that a killed run continues bit for bit without any
state of a random number generator being kept.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

import torch
import torch.utils.deterministic
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from lexiseg.device import seeded
from lexiseg.training.run_folder import RunFolder

__all__ = [
    "FitSettings", "Fitted", "RunOptions", "average_of", "deterministic", "fit", "lr_factor",
    "prefetch",
]  # fmt: skip

Batch = TypeVar("Batch")
Net = TypeVar("Net", bound=nn.Module)
_LOG_EVERY = 20  # steps
_AHEAD = 3  # batches made before they are needed


@dataclass(frozen=True)
class FitSettings:
    """How a net is fitted; the recipes of all models have these fields.

    The learning rate rises over ``warmup_steps`` and falls from ``lr`` to ``final_lr`` over the
    last ``decay_steps`` (None: all steps). ema_decay: of the moving average of the weights, which
    is what a run returns; None for the last weights. max_grad_norm: None does not clip.
    """

    steps: int = 1000
    lr: float = 1e-3
    final_lr: float = 0.0
    warmup_steps: int = 0
    decay: Literal["cosine", "linear"] = "cosine"
    decay_steps: int | None = None
    weight_decay: float = 0.01
    max_grad_norm: float | None = 1.0
    ema_decay: float | None = None
    save_every: int = 100
    seed: int = 0


def _nothing(line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class RunOptions:
    """What of a training run changes nothing that is learned; all recipes take it.

    stop_after: end early, at this step; the run goes on when it is called again. log: gets a line
    on what is done. progress: a bar on stderr, where that is a terminal.
    """

    stop_after: int | None = None
    log: Callable[[str], None] = _nothing
    progress: bool = False


@dataclass(frozen=True)
class Fitted(Generic[Net]):
    """A net after ``steps`` steps, in eval mode, and whether these were all."""

    net: Net
    steps: int
    finished: bool


def lr_factor(step: int, settings: FitSettings) -> float:
    """Return what the learning rate of a step is, as a part of ``settings.lr``."""
    rise = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    length = settings.steps if settings.decay_steps is None else settings.decay_steps
    begun = (step - (settings.steps - length)) / max(1, length)
    progress = min(1.0, max(0.0, begun))
    fall = 1 - progress if settings.decay == "linear" else (1 + math.cos(math.pi * progress)) / 2
    last = settings.final_lr / settings.lr
    return rise * (last + (1 - last) * fall)


def average_of(net: nn.Module, decay: float) -> AveragedModel:
    """Return the exponential moving average of a net's weights, begun at its present ones.

    Young averages forget faster, or they would remember the initial weights: after n updates
    they keep ``min(decay, n / (9 + n))``.
    """

    @torch.no_grad()
    def update(averaged: Any, current: Any, count: Tensor | int) -> None:
        keep = min(decay, float(count) / (9 + float(count)))
        torch._foreach_lerp_(averaged, current, 1 - keep)

    average = AveragedModel(net, multi_avg_fn=update)
    average.update_parameters(net)  # the first update is a copy: now the count is 1
    return average.eval().requires_grad_(False)


def fit(
    net: Net,
    make_batch: Callable[[int], Batch],
    step_loss: Callable[[Batch, int], tuple[Tensor, Mapping[str, float | Tensor]]],
    settings: FitSettings,
    run: RunFolder,
    *,
    param_groups: Sequence[Mapping[str, Any]] | None = None,
    split: Callable[[Batch], Sequence[Batch]] | None = None,
    amp: bool = False,
    evaluate: Callable[[Net], Mapping[str, float]] | None = None,
    evaluate_every: int = 1000,
    select: str | None = None,
    writers: Sequence[Callable[[Mapping[str, float]], None]] = (),
    options: RunOptions | None = None,
) -> Fitted[Net]:
    """Fit a net with AdamW, or continue the run in the folder where its checkpoint is.

    make_batch: step -> batch; called ahead of time in another thread. step_loss: (batch, number)
    -> loss to minimise and further values for the log, which are read once the step is done.
    split: batch -> parts whose gradients are accumulated; parts are numbered through over all
    steps. param_groups: AdamW's, by default all weights in one. amp: half precision on CUDA.
    evaluate: net -> measures, every ``evaluate_every`` steps and after the last; select: the
    measure by which the best weights are kept and returned, the greater the better. writers: get
    each line of the log.
    """
    options = options or RunOptions()
    device = next(net.parameters()).device
    state = _State(net, settings, param_groups, select, amp=amp)
    start = 0
    saved = run.load(device)
    if saved is not None:
        start = saved["step"]
        state.load_state_dict(saved["state"])
        options.log(f"going on from step {start}")
    end = max(start, min(settings.steps, options.stop_after or settings.steps))
    batches = prefetch(make_batch, range(start, end))
    before = time.perf_counter()
    with (
        # CUDA has no deterministic kernels for all of it: runs repeat on CPUs only.
        deterministic() if device.type == "cpu" else nullcontext(),
        run.open_log(start) as file,
        _bar(start, end, options.progress) as bar,
    ):
        for step, batch in zip(range(start, end), batches, strict=True):
            parts = [batch] if split is None else split(batch)
            line = {"step": step, **state.update(parts, step, step_loss)}
            seconds, before = time.perf_counter() - before, time.perf_counter()
            line["seconds"] = round(seconds, 3)
            done = step + 1
            measure = done % evaluate_every == 0 or done == settings.steps
            if evaluate is not None and measure:
                line |= state.evaluate(evaluate)
            file.write(json.dumps(line) + "\n")
            for write in writers:
                write(line)
            if bar is not None:
                bar.set_postfix(loss=line["loss"], refresh=False)
                bar.update()
            if step % _LOG_EVERY == 0 or (evaluate is not None and measure):
                file.flush()
                if bar is None:
                    options.log(json.dumps(line))
            if done % settings.save_every == 0 or done == end:
                run.save({"step": done, "state": state.state_dict()})
    return Fitted(state.finish(), end, end == settings.steps)


class _State(Generic[Net]):
    """All that changes during a run: what a checkpoint holds."""

    def __init__(
        self, net: Net, settings: FitSettings,
        param_groups: Sequence[Mapping[str, Any]] | None, select: str | None, *, amp: bool,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._net = net
        self._device = next(net.parameters()).device
        groups = [dict(g) for g in param_groups or [{"params": list(net.parameters())}]]
        self._optimizer = torch.optim.AdamW(
            groups, settings.lr, weight_decay=settings.weight_decay,
            fused=self._device.type in ("cpu", "cuda"),
        )  # fmt: skip
        self._scheduler = LambdaLR(self._optimizer, lambda step: lr_factor(step, settings))
        self._half = amp and self._device.type == "cuda"
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._half)
        ema = settings.ema_decay
        self._average = None if ema is None else average_of(net, ema)
        self._select = select
        self._best: dict[str, Any] = {"value": -math.inf, "weights": None}

    @property
    def _parts(self) -> dict[str, Any]:
        parts = {
            "net": self._net, "optimizer": self._optimizer, "scheduler": self._scheduler,
            "scaler": self._scaler,
        }  # fmt: skip
        return parts if self._average is None else {**parts, "average": self._average}

    @property
    def _result(self) -> Net:
        return self._net if self._average is None else cast(Net, self._average.module)

    def state_dict(self) -> dict[str, Any]:
        return {name: one.state_dict() for name, one in self._parts.items()} | {"best": self._best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, one in self._parts.items():
            one.load_state_dict(state[name])
        self._best = state["best"]

    def update(
        self, parts: Sequence[Batch], step: int,
        step_loss: Callable[[Batch, int], tuple[Tensor, Mapping[str, float | Tensor]]],
    ) -> dict[str, float]:  # fmt: skip
        """Make one step; return the loss and the further values, means over the parts."""
        self._net.train()
        self._optimizer.zero_grad(set_to_none=True)
        total: dict[str, float | Tensor] = {}
        for k, part in enumerate(parts):
            number = step * len(parts) + k
            with (
                seeded(self._settings.seed + 1 + number),  # for dropout
                torch.autocast(self._device.type, enabled=self._half),
            ):
                loss, values = step_loss(part, number)
            self._scaler.scale(loss / len(parts)).backward()  # type: ignore[no-untyped-call]
            for name, value in {"loss": loss.detach(), **values}.items():
                total[name] = total.get(name, 0.0) + value / len(parts)
        if self._settings.max_grad_norm is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._net.parameters(), self._settings.max_grad_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._scheduler.step()
        if self._average is not None:
            self._average.update_parameters(self._net)
        return {name: round(float(value), 6) for name, value in total.items()}

    def evaluate(self, measure: Callable[[Net], Mapping[str, float]]) -> dict[str, float]:
        """Measure the net, and keep its weights where they are the best so far."""
        net = self._result.eval()
        measures = measure(net)
        if self._select is not None and measures[self._select] > self._best["value"]:
            weights = {name: w.detach().clone() for name, w in net.state_dict().items()}
            self._best = {"value": measures[self._select], "weights": weights}
        return {name: round(value, 6) for name, value in measures.items()}

    def finish(self) -> Net:
        """Return the net that the run is for, in eval mode."""
        net = self._result
        if self._best["weights"] is not None:
            net.load_state_dict(self._best["weights"])
        return net.eval().requires_grad_(False)


def prefetch(
    make_batch: Callable[[int], Batch], steps: range, ahead: int = _AHEAD
) -> Iterator[Batch]:
    """Yield the batches of these steps in order, made a few ahead of time in a thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(make_batch, step) for step in steps[:ahead]]
        for k in range(len(steps)):
            batch = waiting.pop(0).result()
            if k + ahead < len(steps):
                waiting.append(pool.submit(make_batch, steps[k + ahead]))
            yield batch


@contextmanager
def deterministic() -> Iterator[None]:
    """Sums in one order inside, so that a run gives the same numbers each time.

    Without it, torch's CPU kernels add up indexed gradients with atomic additions, in whichever
    order the threads arrive.
    """
    before = torch.are_deterministic_algorithms_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


@contextmanager
def _bar(start: int, end: int, wanted: bool) -> Iterator[Any]:
    """A progress bar on stderr; None where none is wanted or stderr is no terminal."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=end, initial=start, unit="step", file=sys.stderr) as bar:
        yield bar
