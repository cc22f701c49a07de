"""A stage of the recipe: what lies behind the decoder, trained on features that were kept.

Norm, head, words and scale learn from many more views than training from pixels can afford, with
words that are queried in vain, so that a word does not claim what other sets call otherwise.
The decoded maps stay, and so does the masker that was trained on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lexiseg.datasets import SemanticDataset
from lexiseg.models.tiny.vision import VisionNet
from lexiseg.training.loop import FitSettings, Fitted, RunOptions, fit
from lexiseg.training.run_folder import RunFolder
from lexiseg.training.tiny.features import FeatureSampling, FeatureStore
from lexiseg.training.tiny.losses import word_loss
from lexiseg.training.tiny.negatives import NegativeSampling
from lexiseg.training.tiny.photos import ABSENT, SEEDS
from lexiseg.training.tiny.queries import Queries, QuerySampler
from lexiseg.training.tiny.words import WordBank

__all__ = [
    "FeatureBatch",
    "HeadRecipe",
    "fit_head",
    "head_parameters",
    "measure_head",
    "train_head",
]

_SET_WEIGHTS = {
    "voc": 0.20,
    "msrc": 0.08,
    "celebamask": 0.15,
    "ccp": 0.17,
    "camvid": 0.18,
    "coco-panoptic": 0.09,
    "coco": 0.13,
    "facade": 0.02,
    "caltech": 0.03,
    "grocery": 0.02,
    SEEDS: 0.04,
    ABSENT: 0.14,
}
_OTHER_WEIGHT = 0.05
_UNLABELLED = 255
_TAGGED_VIEWS = {"facade": 1, "caltech": 1, "grocery": 1, SEEDS: 1, ABSENT: 2}
_MIN_VIEWS = 2  # that show a class, for it to count in the measure


@dataclass(frozen=True)
class HeadRecipe(FitSettings):
    """Everything that decides the head, but for the data and the picture side.

    batch: views a step. subset_share: of the views, of which only a part of the words is queried.
    noise: on the words' meanings. evaluate_every: how often the held-out photos are measured, by
    which the best weights are chosen. balanced_places: how many of the places of a view that were
    drawn evenly over its classes teach, since more teach that rare classes are common;
    set_balanced_places: by the name of a set, where it is another number.
    """

    steps: int = 300
    lr: float = 5e-4
    warmup_steps: int = 50
    weight_decay: float = 0.02
    ema_decay: float | None = 0.997
    save_every: int = 100
    batch: int = 32
    subset_share: float = 0.4
    dice_weight: float = 0.4
    noise: float = 0.25
    evaluate_every: int = 100
    sampling: FeatureSampling = field(
        default_factory=lambda: FeatureSampling(set_views=dict(_TAGGED_VIEWS))
    )
    balanced_places: int = 16
    set_balanced_places: dict[str, int] = field(default_factory=lambda: {"camvid": 128})
    negatives: NegativeSampling = field(default_factory=NegativeSampling)
    set_weights: dict[str, float] = field(default_factory=lambda: dict(_SET_WEIGHTS))


@dataclass(frozen=True)
class FeatureBatch:
    """One step's views: features (B, P, F), and the words that compete on each."""

    features: Tensor
    queries: Queries
    seed: int


def train_head(
    net: VisionNet,
    sets: Sequence[SemanticDataset],
    bank: WordBank,
    out: Path,
    recipe: HeadRecipe | None = None,
    *,
    options: RunOptions | None = None,
) -> Fitted[VisionNet]:
    """Train the net's head and return the net, or continue the run in ``out``.

    sets: with labels; photos that are held out of training choose the best weights, by the mean
    IoU over their sampled places. bank: its words, in the order of the sets. Raises OptionError
    where the run in ``out`` has other settings.
    """
    recipe, options = recipe or HeadRecipe(), options or RunOptions()
    store = FeatureStore(out / "features", sets, net, recipe.sampling, log=options.log)
    run = RunFolder(
        out, {"recipe": asdict(recipe), "words": list(bank.words), "data_digest": store.key}
    )
    sampler = QuerySampler(bank, sets, recipe.negatives, recipe.subset_share)
    views = [np.flatnonzero((store.sets == s) & ~store.held_out) for s in range(len(sets))]
    shares = np.array([recipe.set_weights.get(s.name, _OTHER_WEIGHT) for s in sets])
    shares = np.where([len(own) > 0 for own in views], shares, 0.0)
    shares = shares / shares.sum()
    balanced = recipe.sampling.num_balanced
    taught = [recipe.set_balanced_places.get(s.name, recipe.balanced_places) for s in sets]
    place = np.arange(recipe.sampling.places)
    is_taught = (place < np.array(taught)[:, None]) | (place >= balanced)  # (sets, P)

    def make_batch(step: int) -> FeatureBatch:
        rng = np.random.default_rng([recipe.seed, step])
        drawn = rng.choice(len(sets), recipe.batch, p=shares)
        chosen = np.array([rng.choice(views[s]) for s in drawn])
        labels = np.where(is_taught[drawn], store.labels[chosen], _UNLABELLED)
        queries = sampler.draw(torch.from_numpy(drawn), torch.from_numpy(labels), rng)
        features = torch.from_numpy(store.features[chosen]).float()
        return FeatureBatch(features, queries, int(rng.integers(2**31)))

    def step_loss(batch: FeatureBatch, step: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        vectors = net.project(bank.augmented(recipe.noise, batch.seed))
        loss, accuracy = word_loss(
            net.embed(batch.features), batch.queries, bank, vectors, net.scale(),
            dice_weight=recipe.dice_weight, dice_from=balanced,
        )  # fmt: skip
        return loss, {"accuracy": accuracy}

    return fit_head(
        net, make_batch, step_loss, recipe, run, store, [s.name for s in sets], bank,
        evaluate_every=recipe.evaluate_every, options=options,
    )  # fmt: skip


def fit_head(
    net: VisionNet,
    make_batch: Callable[[int], FeatureBatch],
    step_loss: Callable[[FeatureBatch, int], tuple[Tensor, Mapping[str, float | Tensor]]],
    settings: FitSettings,
    run: RunFolder,
    store: FeatureStore,
    names: Sequence[str],
    bank: WordBank,
    *,
    evaluate_every: int,
    options: RunOptions,
) -> Fitted[VisionNet]:
    """Fit a net's head, and choose its best weights by the store's held-out photos, if any."""
    groups = head_parameters(net, settings)
    if not store.held_out.any():
        options.log("no photo is held out, so the last weights are taken, not the best")
        return fit(net, make_batch, step_loss, settings, run, param_groups=groups, options=options)
    if not run.checkpoint.is_file():
        options.log(f"before: {_text(measure_head(net, store, names, bank))}")
    return fit(
        net, make_batch, step_loss, settings, run, param_groups=groups,
        evaluate=lambda one: measure_head(one, store, names, bank), evaluate_every=evaluate_every,
        select="mean_iou", options=options,
    )  # fmt: skip


def _text(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())


def head_parameters(net: VisionNet, settings: FitSettings) -> list[dict[str, Any]]:
    """Let only what lies behind the decoder learn; return its parameters for the optimiser."""
    net.requires_grad_(False)
    modules = (net.norm, net.head, net.words)
    params: list[nn.Parameter] = [p for module in modules for p in module.parameters()]
    params.append(net.log_scale)
    for p in params:
        p.requires_grad_(True)
    matrices = [p for p in params if p.ndim > 1]
    others = [p for p in params if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


@torch.inference_mode()
def measure_head(
    net: VisionNet, store: FeatureStore, names: Sequence[str], bank: WordBank
) -> dict[str, float]:
    """Return the mean IoU of each set's words on the held-out photos, and the mean over the sets.

    All words of a set and the background words compete; places count that were drawn evenly over
    the photo. A class counts where two photos show it. On photos that lack the words, this is
    the share of places that nothing claims.
    """
    vectors, scale = net.project(bank.meanings[0]), net.scale()
    scores = {}
    for s, own in enumerate(bank.sets):
        views = np.flatnonzero((store.sets == s) & store.held_out)
        if not len(views):
            continue
        count = len(own.rows)
        matrix = np.zeros((count, count + 1), np.int64)  # truth by prediction, the last: background
        shown = np.zeros(count, np.int64)
        for view in views:
            labels = store.labels[view, store.how.num_balanced :]
            decoded = store.features[view, store.how.num_balanced :].astype(np.float32)
            features = net.embed(torch.from_numpy(decoded))
            logits = scale * features @ vectors[own.rows].T
            if own.background_index is not None:
                logits[:, own.background_index] = -torch.inf
                same = bank.synonyms[bank.background][:, own.rows].any(1)
                background = scale * features @ vectors[bank.background[~same]].T
                logits = torch.cat([logits, background.logsumexp(-1, keepdim=True)], -1)
            predicted = logits.argmax(-1).numpy()
            if own.background_index is not None:
                predicted[predicted == count] = own.background_index
            np.add.at(matrix, (labels, predicted), 1)
            shown[np.unique(labels)] += 1
        square = matrix[:, :count]
        union = square.sum(0) + square.sum(1) - np.diag(square)
        counted = shown >= min(_MIN_VIEWS, len(views))
        iou = np.diag(square)[counted] / np.maximum(union[counted], 1)
        if len(iou):
            scores[f"iou.{names[s]}"] = float(iou.mean())
    return {"mean_iou": float(np.mean(list(scores.values()))) if scores else 0.0, **scores}
