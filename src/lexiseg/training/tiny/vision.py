"""Stage two of the recipe: the picture side, trained against the frozen text tower.

Warm-up, a long constant rate, then a fall to zero: the constant part does not depend on how long
the run is, so that a run can be made longer without starting again.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.models.tiny.backbone import FROZEN_BLOCKS, MobileNetV2
from lexiseg.models.tiny.vision import VisionConfig, VisionNet
from lexiseg.training.state import repeatable, save_whole
from lexiseg.training.tiny.losses import WordBank, head_loss, points_at, word_loss
from lexiseg.training.tiny.pictures import Batch, PictureSet, Sampling, batches

__all__ = ["VisionRecipe", "train_vision"]

# How much of the training each set gets; sets that are not named get 0.05.
_SHARES = {
    "voc": 0.33,
    "msrc": 0.09,
    "celebamask": 0.13,
    "ccp": 0.16,
    "camvid": 0.09,
    "coco-panoptic": 0.07,
    "coco": 0.07,
    "imagenet1000": 0.03,
    "coco-unlabelled": 0.03,
}


@dataclass(frozen=True)
class VisionRecipe:
    """Everything that decides the picture side, but for the data and the text tower."""

    steps: int = 2100
    backbone_steps: int = 2100  # after so many, the backbone stays as it is
    warmup: int = 200
    fall: int = 700  # the last so many steps, in which the rate falls to zero
    rate: float = 1.5e-3
    backbone_rate: float = 3e-4
    weight_decay: float = 0.03
    clip: float = 1.0
    ema: float = 0.998
    overlap: float = 0.5  # weight of the Dice part
    teacher: float = 0.15  # weight of the ImageNet head's view
    teacher_every: int = 2
    noise: float = 0.25  # on the words' meanings
    seed: int = 0
    save_every: int = 100
    sampling: Sampling = field(default_factory=Sampling)
    shares: dict[str, float] = field(default_factory=lambda: dict(_SHARES))


def _rate(step: int, recipe: VisionRecipe) -> float:
    rise = min(1.0, (step + 1) / recipe.warmup)
    left = (recipe.steps - step) / max(1, recipe.fall)
    return rise * min(1.0, left)


def _groups(net: VisionNet, recipe: VisionRecipe) -> list[dict[str, object]]:
    """Parameters by rate and by whether they decay; the low blocks stay as they are."""
    frozen = {id(p) for p in net.backbone.stem.parameters()}
    frozen |= {id(p) for b in net.backbone.blocks[:FROZEN_BLOCKS] for p in b.parameters()}
    backbone = {id(p) for p in net.backbone.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for p in net.parameters():
        if id(p) in frozen:
            p.requires_grad_(False)
            continue
        rate = recipe.backbone_rate if id(p) in backbone else recipe.rate
        decay = recipe.weight_decay if p.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(p)
    return [
        {"params": ps, "lr": rate, "weight_decay": decay, "peak": rate}
        for (rate, decay), ps in groups.items()
    ]


def _step(
    net: VisionNet, judge: MobileNetV2, classifier: nn.Conv2d, batch: Batch,
    sets: list[PictureSet], bank: WordBank, recipe: VisionRecipe, with_teacher: bool,
) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
    device = net.log_scale.device
    pixels = torch.from_numpy(batch.pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        fine, low = net.backbone.low(pixels.contiguous(memory_format=torch.channels_last))
    middle, coarse = net.backbone.high(low)
    decoded = net.decode(fine, low, middle, coarse)
    vectors = net.project(bank.vary(recipe.noise, batch.seed))
    scale = net.scale()
    at = net.embed(points_at(decoded, torch.from_numpy(batch.points_xy).to(device)))
    even = int(recipe.sampling.points * recipe.sampling.even_share)
    loss, accuracy = word_loss(at, batch, sets, bank, vectors, scale, even, recipe.overlap)
    parts = {"words": loss.item(), "accuracy": accuracy}
    if with_teacher:
        with torch.no_grad():
            view = F.avg_pool2d(judge.high(low)[1], 3, 1, 1, count_include_pad=False)
            teacher = classifier(view)[:, 1:]
        cells = F.avg_pool2d(decoded.permute(0, 3, 1, 2), 8).permute(0, 2, 3, 1)
        head = head_loss(net.embed(cells), teacher, vectors[bank.imagenet], scale)
        parts["head"] = head.item()
        loss = loss + recipe.teacher * recipe.teacher_every * head
    return loss, parts


def train_vision(
    sets: Sequence[PictureSet],
    bank: WordBank,
    imagenet: tuple[MobileNetV2, nn.Conv2d],
    out: Path,
    recipe: VisionRecipe | None = None,
    config: VisionConfig | None = None,
    log: Callable[[str], None] = lambda line: None,
    stop_after: int | None = None,
) -> VisionNet:
    """Train and return the averaged net. ``out/vision-state.pt`` holds a run that can go on:
    where it exists, the run continues exactly where it was. ``stop_after``: end early, at a step.
    """
    recipe, config = recipe or VisionRecipe(), config or VisionConfig()
    torch.manual_seed(recipe.seed)
    judge, classifier = imagenet
    judge.requires_grad_(False)
    classifier.requires_grad_(False)
    net = VisionNet(config)
    net.backbone.load_state_dict(judge.state_dict())
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = _groups(net, recipe)
    optimiser = torch.optim.AdamW(groups, fused=True)
    average = copy.deepcopy(net).eval().requires_grad_(False)
    out.mkdir(parents=True, exist_ok=True)
    state, start = out / "vision-state.pt", 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        start = saved["step"]
        log(f"going on from step {start}")
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    end = min(recipe.steps, stop_after or recipe.steps)
    shares = [recipe.shares.get(s.name, 0.05) for s in sets]
    before = time.perf_counter()
    feed = batches(list(sets), shares, recipe.sampling, recipe.seed, range(start, end))
    with repeatable(), open(out / "vision-log.jsonl", "a", encoding="utf-8") as curve:
        for step, batch in zip(range(start, end), feed, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * _rate(step, recipe)
            if step >= recipe.backbone_steps:  # without a gradient, the optimiser leaves it alone
                net.backbone.requires_grad_(False)
            loss, parts = _step(
                net, judge, classifier, batch, list(sets), bank, recipe,
                # Without ImageNet's names the head has nothing to say.
                len(bank.imagenet) > 0 and step % recipe.teacher_every == 0,
            )  # fmt: skip
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
            optimiser.step()
            # Young averages forget faster, or they would remember the initial weights.
            keep = min(recipe.ema, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - keep)
            seconds, before = time.perf_counter() - before, time.perf_counter()
            line = {"step": step, "loss": round(loss.item(), 6), "seconds": round(seconds, 3)}
            line |= {name: round(value, 5) for name, value in parts.items()}
            curve.write(json.dumps(line) + "\n")
            if step % 20 == 0:
                curve.flush()
                log(json.dumps(line))
            if (step + 1) % recipe.save_every == 0 or step + 1 == end:
                save_whole(
                    state,
                    {
                        "net": net.state_dict(),
                        "average": average.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "step": step + 1,
                    },
                )
    return average
