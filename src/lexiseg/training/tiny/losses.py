"""What the picture side is trained with: words at points, overlap, and two teachers' answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.training.tiny.queries import Queries
from lexiseg.training.tiny.words import WordBank

__all__ = ["distill_loss", "sample_map", "stuff_loss", "word_loss"]

_MIN_CONFIDENCE = 0.15  # of the classifier, below which it teaches nothing
_OUT = -1e4  # the logit of what does not compete: finite, so that no gradient is undefined


def sample_map(values: Tensor, points_xy: Tensor) -> Tensor:
    """Return a map (B, h, w, C) at points (B, P, 2) in [-1, 1], bilinear: (B, P, C)."""
    out = F.grid_sample(
        values.permute(0, 3, 1, 2), points_xy[:, None], mode="bilinear",
        padding_mode="border", align_corners=False,
    )  # fmt: skip
    return out[:, :, 0].transpose(1, 2)


def word_loss(
    features: Tensor, queries: Queries, bank: WordBank, vectors: Tensor, scale: Tensor,
    *, dice_weight: float, dice_from: int = 0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the mean over the photos of cross-entropy over their words plus Dice; the accuracy.

    features: (B, P, D) at the points; vectors: (W, D). dice_from: Dice takes the points from this
    one on: others were drawn evenly over the classes, and say nothing about areas.
    """
    words, targets = queries.words, queries.targets
    count = words.shape[1]
    logits = (scale * features @ vectors[:count].T).masked_fill(~words[:, None], _OUT)
    same = bank.synonyms[bank.background][:, :count]
    barred = (words.float() @ same.T.float() > 0) | ~queries.background[:, None]
    others = (scale * features @ vectors[bank.background].T).masked_fill(barred[:, None], _OUT)
    logits = torch.cat([logits, others.logsumexp(-1, keepdim=True)], -1)
    if queries.tolerated is not None:
        unsure = queries.tolerated[:, None] & (targets == count)[..., None]
        logits = logits.masked_fill(F.pad(unsure, (0, 1)), _OUT)
    labelled = targets >= 0
    each = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
    ).view_as(targets)
    losses = (each * labelled).sum(1) / labelled.sum(1).clamp(min=1)
    if dice_weight:
        losses = losses + dice_weight * _dice_loss(logits[:, dice_from:], targets[:, dice_from:])
    hits = ((logits.detach().argmax(-1) == targets) & labelled).sum()
    photos = labelled.any(1).sum().clamp(min=1)
    return losses.sum() / photos, hits / labelled.sum().clamp(min=1)


def _dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Soft Dice of each photo, (B,), the mean over the columns that are there; 0 where none is.

    logits: (B, P, K). targets: (B, P), -1 does not count.
    """
    labelled = (targets >= 0).to(logits.dtype)
    column = targets.clamp(min=0)
    probabilities = logits.softmax(-1) * labelled[..., None]
    both, there = torch.zeros(2, len(logits), logits.shape[-1], device=logits.device)
    right = probabilities.gather(2, column[..., None])[..., 0]
    both = both.scatter_add(1, column, right)
    there = there.scatter_add(1, column, labelled)
    dice = 1 - (2 * both + 1) / (probabilities.sum(1) + there + 1)
    present = there > 0
    mean: Tensor = (dice * present).sum(1) / present.sum(1).clamp(min=1)
    return mean


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


def stuff_loss(
    features: Tensor, wanted: Tensor, weights: Tensor, rivals: Tensor, stuff: Tensor,
    vectors: Tensor, scale: Tensor,
) -> Tensor:  # fmt: skip
    """Return the cross-entropy between the teacher of stuff and the words at the same points.

    features: (B, P, D). wanted: (B, P, T), the teacher's probabilities of its T words. weights:
    (B, P), how much each point counts. rivals: (B, C) bool, which of the first C words compete;
    stuff: (T,), the teacher's among them. vectors: (W, D).
    """
    logits = scale * features @ vectors[: rivals.shape[1]].T
    predicted = logits.masked_fill(~rivals[:, None], _OUT).log_softmax(-1)[..., stuff]
    each = -(wanted * predicted).sum(-1)
    return (each * weights).sum() / weights.sum().clamp(min=1.0)
