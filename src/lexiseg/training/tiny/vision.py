"""Stage two of the recipe: the picture side, trained against the frozen text tower.

It is the same on a GPU and on a CPU: photos lie on the device, and crops are cut there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg.device import pick, seeded
from lexiseg.models.tiny.vision import LOW_BLOCKS, MobileNetV2, VisionConfig, VisionNet
from lexiseg.training.loop import FitSettings, Fitted, RunOptions, fit
from lexiseg.training.run_folder import RunFolder, digest
from lexiseg.training.tiny.crops import (
    CropBatch,
    CropSampling,
    PhotoStore,
    make_crops,
    sample_points,
)
from lexiseg.training.tiny.losses import distill_loss, sample_map, stuff_loss, word_loss
from lexiseg.training.tiny.negatives import NegativeSampling
from lexiseg.training.tiny.photos import SEEDS, ImageSet
from lexiseg.training.tiny.queries import Queries, QuerySampler
from lexiseg.training.tiny.stuff import (
    StuffPoints,
    StuffSampler,
    StuffSampling,
    read_teacher,
    teach,
)
from lexiseg.training.tiny.words import WordBank

__all__ = ["VisionRecipe", "small_vision_recipe", "train_vision"]

# How much of the training each set gets; sets that are not named get 0.05.
_SET_WEIGHTS = {
    "voc": 0.22,
    "msrc": 0.08,
    "celebamask": 0.09,
    "ccp": 0.12,
    "camvid": 0.06,
    "coco-panoptic": 0.09,
    "coco": 0.13,
    "facade": 0.04,
    "caltech": 0.08,
    "grocery": 0.03,
    SEEDS: 0.08,
}
_OTHER_WEIGHT = 0.05


@dataclass(frozen=True)
class VisionRecipe(FitSettings):
    """Everything that decides the picture side, but for the data and the text tower.

    lr: of the decoder; backbone_lr, low_lr: of the backbone above and up to stride 8 (0: that
    part stays as it is). betas: of AdamW. dice_weight: beside cross-entropy. distill_weight,
    distill_every: of the ImageNet classifier, and how often it is asked. noise: on the words'
    meanings. subset_share: of the crops, on which only a part of the words competes. negatives:
    words that are queried in vain. stuff: of the teacher of stuff.
    """

    steps: int = 3300
    lr: float = 2e-3
    warmup_steps: int = 300
    weight_decay: float = 0.04
    ema_decay: float | None = 0.999
    backbone_lr: float = 6e-4
    low_lr: float = 1.5e-4
    betas: tuple[float, float] = (0.9, 0.98)
    dice_weight: float = 0.5
    distill_weight: float = 0.15
    distill_every: int = 2
    noise: float = 0.25
    subset_share: float = 0.4
    sampling: CropSampling = field(default_factory=CropSampling)
    negatives: NegativeSampling = field(default_factory=NegativeSampling)
    stuff: StuffSampling = field(default_factory=StuffSampling)
    set_weights: dict[str, float] = field(default_factory=lambda: dict(_SET_WEIGHTS))


def small_vision_recipe() -> VisionRecipe:
    """Return what a CPU does in hours: smaller crops, fewer at once, low layers as they are."""
    full = VisionRecipe()
    return replace(
        full, steps=2100, lr=1.5e-3, backbone_lr=3e-4, low_lr=0.0, warmup_steps=200,
        ema_decay=0.998,
        sampling=replace(
            full.sampling, batch=12, sizes_hw=((224, 224), (192, 256), (256, 192)),
            short_sides=(200.0, 430.0),
        ),
        stuff=replace(full.stuff, side=256, grid=48),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Batch:
    """One step: pixels (B, 3, h, w) in [-1, 1], what is right at points (B, P, 2) in [-1, 1], and
    at others what the teacher of stuff said. seed: for whatever else is drawn."""

    pixels: Tensor
    points_xy: Tensor
    queries: Queries
    stuff: StuffPoints | None
    seed: int


def train_vision(
    sets: Sequence[ImageSet],
    bank: WordBank,
    imagenet: tuple[MobileNetV2, nn.Conv2d],
    out: Path,
    recipe: VisionRecipe | None = None,
    config: VisionConfig | None = None,
    *,
    teacher: Path | None = None,
    device: str | None = "cpu",
    options: RunOptions | None = None,
) -> Fitted[VisionNet]:
    """Train the picture side and return its average, or continue the run in ``out``.

    bank: its further words are ImageNet's names, or none. imagenet: the backbone to begin with,
    and its classifier, 1,001 logits. teacher: the .tflite file of the teacher of stuff. device:
    as of ``lexiseg.load``. Raises OptionError where the run in ``out`` has other settings.
    """
    recipe, config = recipe or VisionRecipe(), config or VisionConfig()
    options, compute = options or RunOptions(), pick(device)
    store = PhotoStore(sets, compute.device)
    key = store.digest()
    settings: dict[str, object] = {
        "recipe": asdict(recipe), "net": asdict(config), "words": list(bank.words),
        "photos": {s.name: len(s.photos) for s in sets}, "data_digest": key,
        "teacher": None if teacher is None else digest(teacher),
    }  # fmt: skip
    run = RunFolder(out, settings)
    queries = QuerySampler(bank, sets, recipe.negatives, recipe.subset_share, compute.device)
    bank = bank.to(compute.device)
    stuff = None
    if teacher is not None:
        answers = teach(
            store, read_teacher(teacher), recipe.stuff, out, digest(key, teacher), options.log
        )
        stuff = StuffSampler(store, answers, bank, recipe.stuff)
    judge, classifier = imagenet
    with seeded(recipe.seed):
        net = VisionNet(config)
    net.backbone.load_state_dict(judge.state_dict())
    for module in (net, judge, classifier):
        module.to(compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in (judge, classifier):
        module.requires_grad_(False)
    groups = _param_groups(net, recipe)
    weights = [recipe.set_weights.get(s.name, _OTHER_WEIGHT) for s in sets]

    def make_batch(step: int) -> _Batch:
        rng = np.random.default_rng([recipe.seed, step])
        crops = make_crops(store, weights, recipe.sampling, rng)
        return _batch(crops, queries, stuff, recipe, rng)

    half = compute.dtype == torch.bfloat16 and compute.device.type == "cuda"

    def precision() -> AbstractContextManager[object]:
        return torch.autocast("cuda", torch.bfloat16) if half else nullcontext()

    def step_loss(batch: _Batch, step: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        # Without ImageNet's names its classifier has nothing to teach.
        distill = len(bank.further) > 0 and step % recipe.distill_every == 0
        imagenet = (judge, classifier) if distill else None
        return _loss(net, imagenet, batch, bank, recipe, precision)

    return fit(net, make_batch, step_loss, recipe, run, param_groups=groups, options=options)


def _batch(
    crops: CropBatch, queries: QuerySampler, stuff: StuffSampler | None, recipe: VisionRecipe,
    rng: np.random.Generator,
) -> _Batch:  # fmt: skip
    how = recipe.sampling
    points, labels = sample_points(crops.labels, how.points, how.balanced_share, rng)
    asked = queries.draw(crops.sets, labels, rng)
    told = None if stuff is None else stuff.draw(crops, rng)
    pixels = (crops.pixels / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    return _Batch(pixels, points, asked, told, int(rng.integers(2**31)))


def _param_groups(net: VisionNet, recipe: VisionRecipe) -> list[dict[str, Any]]:
    """Parameters by rate and by whether they decay; those of rate 0 get no gradient."""
    low = {id(p) for p in net.backbone.stem.parameters()}
    low |= {id(p) for b in net.backbone.blocks[:LOW_BLOCKS] for p in b.parameters()}
    backbone = {id(p) for p in net.backbone.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for p in net.parameters():
        lr = recipe.lr
        if id(p) in backbone:
            lr = recipe.low_lr if id(p) in low else recipe.backbone_lr
        if lr == 0:
            p.requires_grad_(False)
            continue
        groups.setdefault((lr, recipe.weight_decay if p.ndim > 1 else 0.0), []).append(p)
    return [
        {"params": params, "lr": lr, "weight_decay": decay, "betas": recipe.betas}
        for (lr, decay), params in groups.items()
    ]


def _loss(
    net: VisionNet, imagenet: tuple[MobileNetV2, nn.Conv2d] | None, batch: _Batch,
    bank: WordBank, recipe: VisionRecipe, precision: Callable[[], AbstractContextManager[object]],
) -> tuple[Tensor, Mapping[str, float | Tensor]]:  # fmt: skip
    frozen = recipe.low_lr == 0
    with precision():
        with torch.set_grad_enabled(not frozen):
            fine, low = net.backbone.low(batch.pixels)
        decoded = net.decode(fine, low, *net.backbone.high(low)).float()
        vectors = net.project(bank.augmented(recipe.noise, batch.seed)).float()

    def embed(points_xy: Tensor) -> Tensor:
        with precision():
            return net.embed(sample_map(decoded, points_xy)).float()

    scale = net.scale()
    words, accuracy = word_loss(
        embed(batch.points_xy), batch.queries, bank, vectors, scale,
        dice_weight=recipe.dice_weight,
    )  # fmt: skip
    loss, values = words, {"words": words.detach(), "accuracy": accuracy}
    if batch.stuff is not None:
        one = batch.stuff
        told = stuff_loss(
            embed(one.points_xy), one.wanted, one.weights, one.rivals, bank.stuff, vectors, scale
        )
        loss, values["stuff"] = loss + recipe.stuff.weight * told, told.detach()
    if imagenet is not None:
        judge, classifier = imagenet
        with torch.no_grad(), precision():
            coarse = judge.high(low if frozen else judge.low(batch.pixels)[1])[1]
            pooled = F.avg_pool2d(coarse, 3, 1, 1, count_include_pad=False)
            wanted = classifier(pooled)[:, 1:].float()  # the first of 1,001 is "background"
        with precision():
            cells = F.avg_pool2d(decoded.permute(0, 3, 1, 2), 8).permute(0, 2, 3, 1)
            student = net.embed(cells).float()
        distilled = distill_loss(student, wanted, vectors[bank.further], scale)
        loss = loss + recipe.distill_weight * recipe.distill_every * distilled
        values["distill"] = distilled.detach()
    return loss, values
