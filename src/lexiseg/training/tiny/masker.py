"""Stage three of the recipe: the mask network, trained on the frozen picture side.

Clicks and boxes are drawn on masks of objects, parts and regions; half of the steps correct their
own answer with a second click, as in SAM (Kirillov et al. 2023, appendix A).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.device import seeded
from lexiseg.models.tiny.masknet import MaskNet, MaskNetConfig, Pointers
from lexiseg.models.tiny.vision import VisionNet
from lexiseg.training.loop import FitSettings, Fitted, RunOptions, fit
from lexiseg.training.run_folder import RunFolder
from lexiseg.training.tiny.objects import (
    ObjectBatch,
    ObjectSampling,
    ObjectSet,
    make_objects,
    next_click,
)
from lexiseg.training.tiny.photos import SEEDS

__all__ = ["MaskerRecipe", "mask_loss", "train_masker"]

# How much of the training each set gets; sets that are not named get 0.03. Seed masks of tags,
# middles of photos, are no objects.
_SET_WEIGHTS = {
    "coco": 0.34,
    "voc": 0.24,
    "bsds": 0.14,
    "coco-panoptic": 0.08,
    "ccp": 0.06,
    "msrc": 0.05,
    "celebamask": 0.05,
    "camvid": 0.04,
    "facade": 0.02,
    "caltech": 0.0,
    "grocery": 0.0,
    SEEDS: 0.0,
}
_OTHER_WEIGHT = 0.03


@dataclass(frozen=True)
class MaskerRecipe(FitSettings):
    """Everything that decides the mask network, but for the data and the picture side.

    second_click_share: of the steps with a second, correcting click. others_weight: of the
    candidates that did not fit best. quality_weight: of the error of the predicted quality.
    """

    steps: int = 3400
    lr: float = 2e-3
    warmup_steps: int = 100
    decay: Literal["cosine", "linear"] = "linear"
    decay_steps: int | None = 1700
    weight_decay: float = 0.02
    ema_decay: float | None = 0.998
    second_click_share: float = 0.5
    others_weight: float = 0.1
    quality_weight: float = 0.5
    sampling: ObjectSampling = field(default_factory=ObjectSampling)
    set_weights: dict[str, float] = field(default_factory=lambda: dict(_SET_WEIGHTS))


def train_masker(
    sets: Sequence[ObjectSet],
    vision: VisionNet,
    out: Path,
    recipe: MaskerRecipe | None = None,
    config: MaskNetConfig | None = None,
    *,
    options: RunOptions | None = None,
) -> Fitted[MaskNet]:
    """Train the mask network and return its average, or continue the run in ``out``.

    Raises OptionError where the run in ``out`` has other settings.
    """
    recipe, config = recipe or MaskerRecipe(), config or MaskNetConfig()
    settings = {"recipe": asdict(recipe), "net": asdict(config)}
    run = RunFolder(out, {**settings, "maps": {s.name: len(s) for s in sets}})
    vision.eval().requires_grad_(False)
    vision.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with seeded(recipe.seed):
        net = MaskNet(config)
    weights = [recipe.set_weights.get(s.name, _OTHER_WEIGHT) for s in sets]

    def make_batch(step: int) -> ObjectBatch:
        return make_objects(sets, weights, recipe.sampling, recipe.seed, step)

    def step_loss(batch: ObjectBatch, step: int) -> tuple[Tensor, Mapping[str, float]]:
        rng = np.random.default_rng([recipe.seed, step, 2])
        return _loss(net, vision, batch, bool(rng.random() < recipe.second_click_share), recipe)

    return fit(net, make_batch, step_loss, recipe, run, options=options)


def mask_loss(
    logits: Tensor, quality: Tensor, targets: Tensor, recipe: MaskerRecipe
) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and Dice of the candidate that fits best, plus the quality's error.

    logits: (N, 3, h, w). quality: (N, 3) logits. targets: (N, h, w) in [0, 1], parts of cells.
    The second value is the IoU of the best candidate, (N,).
    """
    wanted = targets[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    # Small objects count as much as large ones: half of the weight lies near the object.
    near = F.max_pool2d(targets[:, None], 9, 1, 4)
    weight = near / near.sum((2, 3), keepdim=True) + 1 / near[0].numel()
    entropy = (entropy * weight).sum((2, 3)) / 2
    probabilities = logits.sigmoid()
    both = (probabilities * wanted).sum((2, 3))
    dice = 1 - (2 * both + 1) / (probabilities.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    each = entropy + dice
    with torch.no_grad():
        inside, truth = logits > 0, wanted > 0.5
        iou = (inside & truth).sum((2, 3)) / (inside | truth).sum((2, 3)).clamp(min=1)
    loss = each.amin(1).mean() + recipe.others_weight * each.mean()
    # Cross-entropy: with squares of sigmoids a quality that starts far off learns nothing any more.
    loss = loss + recipe.quality_weight * F.binary_cross_entropy_with_logits(quality, iou)
    return loss, iou.amax(1)


def _loss(
    net: MaskNet, vision: VisionNet, batch: ObjectBatch, second_click: bool, recipe: MaskerRecipe
) -> tuple[Tensor, Mapping[str, float]]:
    pixels = torch.from_numpy(batch.pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        maps = vision.backbone(pixels.contiguous(memory_format=torch.channels_last))
        decoded = vision.decode(*maps)
    targets = F.avg_pool2d(torch.from_numpy(batch.masks)[:, None].float(), 4)[:, 0]
    photo = torch.from_numpy(batch.photo)
    losses, first, second = [], [], []
    for b, prepared in enumerate(net.prepare(decoded, maps[0])):
        rows = torch.nonzero(photo == b)[:, 0]
        prompts, wanted = _prompts(batch, rows), targets[rows]
        logits, quality = net(prepared, prompts)
        loss, iou = mask_loss(logits, quality, wanted, recipe)
        first.append(iou)
        if second_click:
            logits, quality = net(prepared, _with_click(prompts, logits, wanted))
            corrected, iou = mask_loss(logits, quality, wanted, recipe)
            second.append(iou)
            loss = (loss + corrected) / 2
        losses.append(loss)
    values = {"iou": float(torch.cat(first).mean())}
    if second:
        values["corrected_iou"] = float(torch.cat(second).mean())
    return torch.stack(losses).mean(), values


def _prompts(batch: ObjectBatch, rows: Tensor) -> Pointers:
    return Pointers(
        torch.from_numpy(batch.points_xy)[rows],
        torch.from_numpy(batch.labels)[rows],
        torch.from_numpy(batch.boxes_xyxy)[rows],
        torch.from_numpy(batch.has_box)[rows],
    )


def _with_click(prompts: Pointers, logits: Tensor, targets: Tensor) -> Pointers:
    """The same prompts with one more click where the first answer errs most."""
    with torch.no_grad():
        agreement = ((logits > 0) == (targets[:, None] > 0.5)).float().mean((2, 3))
        best = agreement.argmax(1)
        earlier = logits[torch.arange(len(best)), best].detach()
    truth, predicted = (targets > 0.5).numpy(), (earlier > 0).numpy()
    count = len(truth)
    points = torch.cat([prompts.points_xy, torch.zeros(count, 1, 2)], 1)
    labels = torch.cat([prompts.labels, torch.full((count, 1), -1)], 1)
    for n in range(count):
        click = next_click(truth[n] != predicted[n], truth[n])
        if click is not None:
            points[n, -1], labels[n, -1] = torch.from_numpy(click[0]), click[1]
    flags = torch.ones(count, dtype=torch.bool)
    return replace(prompts, points_xy=points, labels=labels, earlier=earlier, has_earlier=flags)
