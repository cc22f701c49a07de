"""`lexiseg train clipseg`: from folders of photos to a decoder in a file."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TextIO

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.device import seeded
from lexiseg.errors import InputError
from lexiseg.protocols import PromptedModel
from lexiseg.training.clipseg.backbone import prompted, write
from lexiseg.training.clipseg.cached import CachedTask
from lexiseg.training.clipseg.draw import Asked, Drawer
from lexiseg.training.clipseg.live import LiveTask
from lexiseg.training.clipseg.logs import board
from lexiseg.training.clipseg.phrases import PhraseSet, open_phrases
from lexiseg.training.clipseg.recipe import ClipSegRecipe
from lexiseg.training.clipseg.validate import validate
from lexiseg.training.state import repeatable, save_whole

__all__ = ["rate_at", "train_clipseg"]


class _Task(Protocol):
    @property
    def trained(self) -> nn.Module: ...

    def __call__(
        self, photos: Sequence[Sequence[Asked]], seed: int
    ) -> tuple[Tensor, Tensor, Tensor]: ...


def train_clipseg(
    data: Sequence[str | Path] | str | Path,
    out: str | Path,
    recipe: ClipSegRecipe | None = None,
    *,
    backbone: str = "clip-vit-b16.openai",
    only: Sequence[str] | None = None,
    device: str | None = None,
    log: Callable[[str], None] = lambda line: None,
    stop_after: int | None = None,
    tensorboard: bool = False,
    pull: bool = False,
) -> Path | None:
    """Train a decoder on the frozen ``backbone`` and write it to ``out/decoder``.

    data: folders: PhraseCut, VOC, COCO-Stuff, data sets in the plain layout or folders of them;
    their "train" splits are learned from, and "val" splits, where there are any, measured on. A run
    that was stopped or killed goes on exactly when called again with the same ``out``. Returns the
    decoder's folder, or None when ``stop_after`` ended the run before its last step.
    """
    recipe, out = recipe or ClipSegRecipe(), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    writer = board(out / "tensorboard") if tensorboard else None  # what is missing shows at once
    roots = [data] if isinstance(data, str | Path) else list(data)
    sets = _opened(roots, "train", only, recipe.per_set)
    held = _opened(roots, "val", only, recipe.val_photos, needed=False)
    log(", ".join(f"{s.name}: {len(s.shots)} photos, {len(s.phrases)} phrases" for s in sets))
    with seeded(recipe.seed):
        model = prompted(backbone, recipe, device=device, pull=pull)
    task = _task(model, Drawer(sets, recipe), recipe, out, log)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")
    finished = _loop(model, task, held, recipe, out, log, stop_after, writer)
    return write(model, backbone, out / "decoder", recipe) if finished else None


def _task(
    model: PromptedModel, drawer: Drawer, recipe: ClipSegRecipe, out: Path,
    log: Callable[[str], None],
) -> _Task:  # fmt: skip
    from lexiseg.models.clipseg.model import ClipSeg
    from lexiseg.models.tiny.film_prompted import FilmPrompted

    if isinstance(model, FilmPrompted):
        return CachedTask(model, drawer, recipe, out / "cache", log)
    if recipe.cache or not isinstance(model, ClipSeg):
        raise InputError("features are cached for the bundled encoder only; leave cache out")
    return LiveTask(model, drawer, recipe)


def _opened(
    roots: Sequence[str | Path], split: str, only: Sequence[str] | None, limit: int | None,
    *, needed: bool = True,
) -> list[PhraseSet]:  # fmt: skip
    found: list[PhraseSet] = []
    for root in roots:
        try:
            found += open_phrases(root, split, only=only, limit=limit)
        except InputError:
            if needed:
                raise
    sets = [s for s in found if s.shots]
    if needed and not sets:
        raise InputError(f"none of the data sets {list(only or ())} was found; check the names")
    return sets


def rate_at(step: int, recipe: ClipSegRecipe) -> float:
    """The learning rate of a step: half a cosine from ``rate`` to ``last_rate``."""
    part = (1 + math.cos(math.pi * step / recipe.steps)) / 2
    return recipe.last_rate + (recipe.rate - recipe.last_rate) * part


def _loop(
    model: PromptedModel, task: Any, held: Sequence[PhraseSet], recipe: ClipSegRecipe, out: Path,
    log: Callable[[str], None], stop_after: int | None,
    writer: Callable[[Mapping[str, float]], None] | None,
) -> bool:  # fmt: skip
    net: nn.Module = task.trained
    net.requires_grad_(True)
    device = next(net.parameters()).device
    optimiser = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    half = recipe.amp and device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=half)
    state, start = out / "state.pt", 0
    if state.is_file():
        saved = torch.load(state, weights_only=True, map_location=device)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        scaler.load_state_dict(saved["scaler"])
        start = saved["step"]
        log(f"going on from step {start}")
    end = min(recipe.steps, stop_after or recipe.steps)
    size = recipe.batch // recipe.accumulate
    before = time.perf_counter()
    with repeatable(), _curve(out / "log.jsonl", start) as curve:
        for step in range(start, end):
            net.train()
            for group in optimiser.param_groups:
                group["lr"] = rate_at(step, recipe)
            photos = task.drawer.draw(step)
            optimiser.zero_grad(set_to_none=True)
            total = 0.0
            for number in range(recipe.accumulate):
                part = photos[number * size : (number + 1) * size]
                seed = step * recipe.accumulate + number
                with seeded(recipe.seed + 1 + seed), torch.autocast(device.type, enabled=half):
                    logits, targets, counted = task(part, seed)
                loss = F.binary_cross_entropy_with_logits(
                    logits.float(), targets.float(), counted.float()
                )
                scaler.scale(loss / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
                total += float(loss.detach()) / recipe.accumulate
            scaler.step(optimiser)
            scaler.update()
            seconds, before = time.perf_counter() - before, time.perf_counter()
            line: dict[str, Any] = {"step": step, "loss": round(total, 6)}
            line["seconds"] = round(seconds, 3)
            last = step + 1 == recipe.steps
            if held and ((step + 1) % recipe.val_every == 0 or last):
                line |= _measured(model, net, held, recipe)
            curve.write(json.dumps(line) + "\n")
            if writer is not None:
                writer(line)
            if step % 20 == 0 or "ap" in line:
                curve.flush()
                left = (end - step - 1) * seconds
                log(f"{json.dumps(line)} ({left / 60:.0f} min left)")
            if (step + 1) % recipe.save_every == 0 or step + 1 == end:
                save_whole(
                    state,
                    {
                        "net": net.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "scaler": scaler.state_dict(),
                        "step": step + 1,
                    },
                )
    net.eval().requires_grad_(False)
    return end == recipe.steps


def _curve(path: Path, start: int) -> TextIO:
    """Open the log behind the line of the step before ``start``: a killed run's last lines go."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] < start]
    path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    return open(path, "a", encoding="utf-8")


def _measured(
    model: PromptedModel, net: nn.Module, held: Sequence[PhraseSet], recipe: ClipSegRecipe
) -> dict[str, float]:
    net.eval()
    found = validate(model, held, recipe)
    net.train()
    return {name: round(value, 5) for name, value in found.items()}
