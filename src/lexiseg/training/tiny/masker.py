"""Stage three of the recipe: the mask network, trained on the frozen picture side.

Clicks and boxes are drawn on masks of things, parts and regions; half of the steps correct their
own answer with a second click, as in SAM (Kirillov et al. 2023, appendix A).
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.models.tiny.masknet import MaskNet, MaskNetConfig, Pointers
from lexiseg.models.tiny.vision import VisionNet
from lexiseg.training.state import repeatable, save_whole
from lexiseg.training.tiny.objects import (
    ObjectBatch,
    ObjectSampling,
    ObjectSet,
    correction,
    object_batch,
)

__all__ = ["MaskerRecipe", "mask_loss", "train_masker"]

# How much of the training each set gets; sets that are not named get 0.03.
_SHARES = {
    "coco": 0.34,
    "voc": 0.24,
    "bsds": 0.14,
    "coco-panoptic": 0.08,
    "ccp": 0.06,
    "msrc": 0.05,
    "celebamask": 0.05,
    "camvid": 0.04,
}


@dataclass(frozen=True)
class MaskerRecipe:
    """Everything that decides the mask network, but for the data and the picture side."""

    steps: int = 3000
    warmup: int = 100
    fall: int = 1200  # the last so many steps, in which the rate falls to zero
    rate: float = 2e-3
    weight_decay: float = 0.02
    clip: float = 1.0
    ema: float = 0.998
    corrected: float = 0.5  # part of the steps with a second, correcting click
    others: float = 0.1  # weight of the candidates that did not fit best
    judge: float = 0.5  # weight of the quality's error
    seed: int = 0
    save_every: int = 100
    sampling: ObjectSampling = field(default_factory=ObjectSampling)
    shares: dict[str, float] = field(default_factory=lambda: dict(_SHARES))


def _rate(step: int, recipe: MaskerRecipe) -> float:
    return min(1.0, (step + 1) / recipe.warmup, (recipe.steps - step) / max(1, recipe.fall))


def mask_loss(
    logits: Tensor, quality: Tensor, targets: Tensor, recipe: MaskerRecipe
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and Dice of the candidate that fits best, and the error of the judge.

    logits: (N, 3, h, w). quality: (N, 3) logits. targets: (N, h, w) in [0, 1], parts of cells.
    Returns the loss, and the IoU of the best candidate, (N,).
    """
    wanted = targets[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    # Small things count as much as large ones: half of the weight lies near the thing.
    near = F.max_pool2d(targets[:, None], 9, 1, 4)
    weight = near / near.sum((2, 3), keepdim=True) + 1 / near[0].numel()
    entropy = (entropy * weight).sum((2, 3)) / 2
    share = logits.sigmoid()
    both = (share * wanted).sum((2, 3))
    dice = 1 - (2 * both + 1) / (share.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    each = entropy + dice
    with torch.no_grad():
        inside, truth = logits > 0, wanted > 0.5
        iou = (inside & truth).sum((2, 3)) / (inside | truth).sum((2, 3)).clamp(min=1)
    best = each.amin(1)
    loss = best.mean() + recipe.others * each.mean()
    # Cross-entropy: with squares of sigmoids a judge that starts far off learns nothing any more.
    loss = loss + recipe.judge * F.binary_cross_entropy_with_logits(quality, iou)
    return loss, iou.amax(1)


def _pointers(batch: ObjectBatch, rows: Tensor) -> Pointers:
    return Pointers(
        torch.from_numpy(batch.points_xy)[rows],
        torch.from_numpy(batch.labels)[rows],
        torch.from_numpy(batch.boxes_xyxy)[rows],
        torch.from_numpy(batch.has_box)[rows],
    )


def _corrected(asked: Pointers, logits: Tensor, targets: Tensor) -> Pointers:
    """The same prompts with one more click where the first answer errs most."""
    with torch.no_grad():
        iou_like = ((logits > 0) == (targets[:, None] > 0.5)).float().mean((2, 3))
        best = iou_like.argmax(1)
        earlier = logits[torch.arange(len(best)), best].detach()
    truth, made = (targets > 0.5).numpy(), (earlier > 0).numpy()
    points = torch.cat([asked.points_xy, torch.zeros(len(truth), 1, 2)], 1)
    labels = torch.cat([asked.labels, torch.full((len(truth), 1), -1)], 1)
    for n in range(len(truth)):
        found = correction(truth[n] != made[n], truth[n])
        if found is not None:
            points[n, -1], labels[n, -1] = torch.from_numpy(found[0]), found[1]
    flags = torch.ones(len(truth), dtype=torch.bool)
    return replace(asked, points_xy=points, labels=labels, earlier=earlier, has_earlier=flags)


def _step(
    net: MaskNet, vision: VisionNet, batch: ObjectBatch, again: bool, recipe: MaskerRecipe
) -> tuple[Tensor, dict[str, float]]:
    pixels = torch.from_numpy(batch.pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        fine, low, middle, coarse = vision.backbone(
            pixels.contiguous(memory_format=torch.channels_last)
        )
        decoded = vision.decode(fine, low, middle, coarse)
    masks = torch.from_numpy(batch.masks)[:, None].float()
    targets = F.avg_pool2d(masks, 4)[:, 0]
    photo = torch.from_numpy(batch.photo)
    losses, ious, later = [], [], []
    for b, maps in enumerate(net.prepare(decoded, fine)):
        rows = torch.nonzero(photo == b)[:, 0]
        asked, wanted = _pointers(batch, rows), targets[rows]
        logits, quality = net(maps, asked)
        loss, iou = mask_loss(logits, quality, wanted, recipe)
        ious.append(iou)
        if again:
            logits, quality = net(maps, _corrected(asked, logits, wanted))
            second, iou = mask_loss(logits, quality, wanted, recipe)
            later.append(iou)
            loss = (loss + second) / 2
        losses.append(loss)
    parts = {"iou": float(torch.cat(ious).mean())}
    if later:
        parts["corrected"] = float(torch.cat(later).mean())
    return torch.stack(losses).mean(), parts


def train_masker(
    sets: Sequence[ObjectSet],
    vision: VisionNet,
    out: Path,
    recipe: MaskerRecipe | None = None,
    config: MaskNetConfig | None = None,
    log: Callable[[str], None] = lambda line: None,
    stop_after: int | None = None,
) -> MaskNet:
    """Train and return the averaged net. ``out/masker-state.pt`` holds a run that can go on:
    where it exists, the run continues exactly where it was. ``stop_after``: end early, at a step.
    """
    recipe, config = recipe or MaskerRecipe(), config or MaskNetConfig()
    torch.manual_seed(recipe.seed)
    vision.eval().requires_grad_(False)
    vision.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net = MaskNet(config)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True
    )
    average = copy.deepcopy(net).eval().requires_grad_(False)
    out.mkdir(parents=True, exist_ok=True)
    state, start = out / "masker-state.pt", 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        start = saved["step"]
        log(f"masker: going on from step {start}")
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    end = min(recipe.steps, stop_after or recipe.steps)
    shares = [recipe.shares.get(s.name, 0.03) for s in sets]
    before = time.perf_counter()

    def drawn(step: int) -> ObjectBatch:
        return object_batch(sets, shares, recipe.sampling, recipe.seed, step)

    with (
        repeatable(),
        ThreadPoolExecutor(1) as pool,
        open(out / "masker-log.jsonl", "a", encoding="utf-8") as curve,
    ):
        waiting = [pool.submit(drawn, step) for step in range(start, min(start + 3, end))]
        for step in range(start, end):
            batch = waiting.pop(0).result()
            if step + 3 < end:
                waiting.append(pool.submit(drawn, step + 3))
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate * _rate(step, recipe)
            again = bool(np.random.default_rng([recipe.seed, step, 2]).random() < recipe.corrected)
            loss, parts = _step(net, vision, batch, again, recipe)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
            optimiser.step()
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
