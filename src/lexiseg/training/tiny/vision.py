"""Stage two of the recipe: the picture side, trained against the frozen text tower.

Warm-up, a long constant rate, then a fall to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.device import seeded
from lexiseg.models.tiny.vision import FROZEN_BLOCKS, MobileNetV2, VisionConfig, VisionNet
from lexiseg.training.loop import FitSettings, Fitted, fit
from lexiseg.training.run_folder import RunFolder
from lexiseg.training.tiny.crops import CropBatch, CropSampling, ImageSet, make_crops
from lexiseg.training.tiny.losses import distill_loss, sample_map, word_loss
from lexiseg.training.tiny.words import WordBank

__all__ = ["VisionRecipe", "train_vision"]

# How much of the training each set gets; sets that are not named get 0.05.
_SET_WEIGHTS = {
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
_OTHER_WEIGHT = 0.05


@dataclass(frozen=True)
class VisionRecipe(FitSettings):
    """Everything that decides the picture side, but for the data and the text tower.

    backbone_lr: of the backbone above stride 8; below, it stays as it is. backbone_steps: after
    so many the backbone stays as it is. dice_weight: beside cross-entropy. distill_weight,
    distill_every: of the ImageNet classifier, and how often it is asked. noise: on the words'
    meanings.
    """

    steps: int = 2100
    lr: float = 1.5e-3
    warmup_steps: int = 200
    decay: Literal["cosine", "linear"] = "linear"
    decay_steps: int | None = 700
    weight_decay: float = 0.03
    ema_decay: float | None = 0.998
    backbone_lr: float = 3e-4
    backbone_steps: int = 2100
    dice_weight: float = 0.5
    distill_weight: float = 0.15
    distill_every: int = 2
    noise: float = 0.25
    sampling: CropSampling = field(default_factory=CropSampling)
    set_weights: dict[str, float] = field(default_factory=lambda: dict(_SET_WEIGHTS))


def train_vision(
    sets: Sequence[ImageSet],
    bank: WordBank,
    imagenet: tuple[MobileNetV2, nn.Conv2d],
    out: Path,
    recipe: VisionRecipe | None = None,
    config: VisionConfig | None = None,
    *,
    log: Callable[[str], None] = lambda line: None,
    stop_after: int | None = None,
    progress: bool = False,
) -> Fitted[VisionNet]:
    """Train the picture side and return its average, or continue the run in ``out``.

    bank: its further words are ImageNet's names, or none. imagenet: the backbone to begin with,
    and its classifier, 1,001 logits. Raises OptionError
    where the run in ``out`` has other settings.
    """
    recipe, config = recipe or VisionRecipe(), config or VisionConfig()
    settings = {"recipe": asdict(recipe), "net": asdict(config), "words": list(bank.words)}
    run = RunFolder(out, {**settings, "photos": {s.name: len(s.photos) for s in sets}})
    frozen, classifier = imagenet
    frozen.requires_grad_(False)
    classifier.requires_grad_(False)
    with seeded(recipe.seed):
        net = VisionNet(config)
    net.backbone.load_state_dict(frozen.state_dict())
    for module in (net, frozen):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = _param_groups(net, recipe)
    weights = [recipe.set_weights.get(s.name, _OTHER_WEIGHT) for s in sets]

    def make_batch(step: int) -> CropBatch:
        return make_crops(sets, weights, recipe.sampling, recipe.seed, step)

    def step_loss(batch: CropBatch, step: int) -> tuple[Tensor, Mapping[str, float]]:
        if step >= recipe.backbone_steps:  # without a gradient, the optimiser leaves it alone
            net.backbone.requires_grad_(False)
        # Without ImageNet's names its classifier has nothing to teach.
        distill = len(bank.further) > 0 and step % recipe.distill_every == 0
        teacher = (frozen, classifier) if distill else None
        return _loss(net, teacher, batch, bank, recipe)

    return fit(
        net, make_batch, step_loss, recipe, run, param_groups=groups,
        stop_after=stop_after, log=log, progress=progress,
    )  # fmt: skip


def _param_groups(net: VisionNet, recipe: VisionRecipe) -> list[dict[str, Any]]:
    """Parameters by rate and by whether they decay; the low blocks stay as they are."""
    low = {id(p) for p in net.backbone.stem.parameters()}
    low |= {id(p) for b in net.backbone.blocks[:FROZEN_BLOCKS] for p in b.parameters()}
    backbone = {id(p) for p in net.backbone.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for p in net.parameters():
        if id(p) in low:
            p.requires_grad_(False)
            continue
        lr = recipe.backbone_lr if id(p) in backbone else recipe.lr
        groups.setdefault((lr, recipe.weight_decay if p.ndim > 1 else 0.0), []).append(p)
    return [{"params": ps, "lr": lr, "weight_decay": decay} for (lr, decay), ps in groups.items()]


def _loss(
    net: VisionNet, teacher: tuple[MobileNetV2, nn.Conv2d] | None, batch: CropBatch,
    bank: WordBank, recipe: VisionRecipe,
) -> tuple[Tensor, Mapping[str, float]]:  # fmt: skip
    device = net.log_scale.device
    pixels = torch.from_numpy(batch.pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        fine, low = net.backbone.low(pixels.contiguous(memory_format=torch.channels_last))
    middle, coarse = net.backbone.high(low)
    decoded = net.decode(fine, low, middle, coarse)
    vectors, scale = net.project(bank.augmented(recipe.noise, batch.seed)), net.scale()
    points = torch.from_numpy(batch.points_xy).to(device)
    words, accuracy = word_loss(
        net.embed(sample_map(decoded, points)), batch, bank, vectors, scale,
        num_balanced=recipe.sampling.num_balanced, dice_weight=recipe.dice_weight,
    )  # fmt: skip
    values = {"words": float(words.detach()), "accuracy": accuracy}
    if teacher is None:
        return words, values
    backbone, classifier = teacher
    with torch.no_grad():
        pooled = F.avg_pool2d(backbone.high(low)[1], 3, 1, 1, count_include_pad=False)
        wanted = classifier(pooled)[:, 1:]  # the first of 1,001 is "background"
    cells = F.avg_pool2d(decoded.permute(0, 3, 1, 2), 8).permute(0, 2, 3, 1)
    distilled = distill_loss(net.embed(cells), wanted, vectors[bank.further], scale)
    values["distill"] = float(distilled.detach())
    return words + recipe.distill_weight * recipe.distill_every * distilled, values
