"""What the picture side is trained with: words at points, overlap, and ImageNet's classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.training.tiny.words import SetWords, WordBank

__all__ = ["LabelledPoints", "distill_loss", "sample_map", "word_loss"]

_MIN_CONFIDENCE = 0.15  # of the classifier, below which it teaches nothing


class LabelledPoints(Protocol):
    """Points of B photos with their classes; see ``crops.CropBatch``."""

    @property
    def sets(self) -> Sequence[int]: ...
    @property
    def labels(self) -> NDArray[np.int64]: ...
    @property
    def queried(self) -> Sequence[NDArray[np.bool_] | None]: ...


def sample_map(values: Tensor, points_xy: Tensor) -> Tensor:
    """Return a map (B, h, w, C) at points (B, P, 2) in [-1, 1], bilinear: (B, P, C)."""
    out = F.grid_sample(
        values.permute(0, 3, 1, 2), points_xy[:, None], mode="bilinear",
        padding_mode="border", align_corners=False,
    )  # fmt: skip
    return out[:, :, 0].transpose(1, 2)


def word_loss(
    features: Tensor, batch: LabelledPoints, bank: WordBank, vectors: Tensor, scale: Tensor,
    *, num_balanced: int, dice_weight: float,
    negatives: Sequence[NDArray[np.int64]] | None = None, negatives_on_background: bool = True,
) -> tuple[Tensor, float]:  # fmt: skip
    """Return the mean over the photos of cross-entropy over their words plus Dice; the accuracy.

    features: (B, P, D) at the points; vectors: (W, D). The first ``num_balanced`` points of a
    photo were drawn class by class, so Dice takes the others only. negatives: for each photo
    further rows of the bank that compete and win nothing; negatives_on_background: also where the
    background is, which may show them unlabelled.
    """
    losses, hits, count = [], 0, 0
    for b, s in enumerate(batch.sets):
        own = bank.sets[s]
        if not len(own.rows):
            continue
        further = np.array([], np.int64) if negatives is None else negatives[b]
        words, background, column = _columns(own, batch.queried[b], further, bank)
        labels = torch.from_numpy(batch.labels[b]).to(features.device)
        target = torch.where(labels >= 0, column.to(labels.device)[labels.clamp(min=0)], -1)
        labelled = target >= 0
        if not labelled.any():
            continue
        logits = scale * features[b] @ vectors[words].T
        if background is not None:
            others = scale * features[b] @ vectors[background].T
            logits = torch.cat([logits, others.logsumexp(-1, keepdim=True)], -1)
            if len(further) and not negatives_on_background:
                unsure = torch.zeros_like(logits, dtype=torch.bool)
                unsure[target == len(words), len(words) - len(further) : len(words)] = True
                logits = logits.masked_fill(unsure, -torch.inf)
        loss = F.cross_entropy(logits, target, ignore_index=-1)
        with torch.no_grad():
            hits += int((logits.argmax(-1) == target)[labelled].sum())
            count += int(labelled.sum())
        spread = labelled.clone()
        spread[:num_balanced] = False
        if dice_weight and spread.any():
            loss = loss + dice_weight * _dice_loss(logits[spread], target[spread])
        losses.append(loss)
    if not losses:
        return features.sum() * 0, 0.0
    return torch.stack(losses).mean(), hits / max(count, 1)


def _columns(
    own: SetWords, queried: NDArray[np.bool_] | None, negatives: NDArray[np.int64], bank: WordBank
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Rows of the words that compete, rows of the background words, and class -> column.

    The negatives stand behind the classes. The background, where there is one, is the last
    column; classes not queried belong to it.
    """
    keep = torch.ones(len(own.rows), dtype=torch.bool)
    if queried is not None:
        keep &= torch.from_numpy(queried)
    has_background = own.background_index is not None or queried is not None
    if own.background_index is not None:
        keep[own.background_index] = False
    words = torch.cat([own.rows[keep], torch.from_numpy(negatives)])
    column = torch.full((len(own.rows),), len(words) if has_background else -1)
    column[keep] = torch.arange(int(keep.sum()))
    if not has_background:
        return words, None, column
    same = bank.synonyms[bank.background][:, words].any(1)
    return words, bank.background[~same], column


def _dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice, the mean over the columns that are there: logits (P, K), target (P,)."""
    truth = F.one_hot(target, logits.shape[-1]).to(logits.dtype)
    there = truth.any(0)
    probabilities, truth = logits.softmax(-1)[:, there], truth[:, there]
    both = (probabilities * truth).sum(0)
    dice = (2 * both + 1) / (probabilities.sum(0) + truth.sum(0) + 1)
    return (1 - dice).mean()


def distill_loss(student: Tensor, teacher: Tensor, vectors: Tensor, scale: Tensor) -> Tensor:
    """Return the cross-entropy between ImageNet's classifier and the words at the same cells.

    student: (B, h, w, D) unit length; teacher: (B, 1000, h, w) logits; vectors: (1000, D). A cell
    counts by how sure the classifier is.
    """
    wanted = teacher.permute(0, 2, 3, 1).softmax(-1)
    confidence = wanted.amax(-1)
    weight = torch.where(confidence > _MIN_CONFIDENCE, confidence, 0.0)
    predicted = (scale * student @ vectors.T).log_softmax(-1)
    each = -(wanted * predicted).sum(-1)
    return (each * weight).sum() / weight.sum().clamp(min=1.0)
