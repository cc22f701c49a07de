"""What the picture side is trained with: words per pixel, overlap, and the ImageNet head's view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.training.tiny.pictures import Batch, PictureSet

__all__ = ["WordBank", "head_loss", "points_at", "word_loss"]


@dataclass(frozen=True)
class WordBank:
    """Meanings of every word in several phrasings, and which rows each set asks for."""

    words: tuple[str, ...]
    meanings: Tensor  # (V, W, 384): V phrasings of W words, unit length
    classes: dict[str, Tensor]  # set name -> rows of its classes
    background: Tensor  # rows of the default background words
    imagenet: Tensor  # rows of the ImageNet names
    alike: Tensor  # (W, W) bool: words taken as the same

    def vary(self, noise: float, seed: int) -> Tensor:
        """One phrasing a word with a little noise, (W, 384), unit length."""
        generator = torch.Generator().manual_seed(seed)
        versions, words, dim = self.meanings.shape
        chosen = torch.randint(versions, (words,), generator=generator)
        chosen[torch.rand(words, generator=generator) < 0.5] = 0  # the bare word half of the time
        meanings = self.meanings[chosen, torch.arange(words)]
        shake = torch.randn(words, dim, generator=generator) * (noise / dim**0.5)
        return F.normalize(meanings + shake, dim=-1)


def points_at(decoded: Tensor, points_xy: Tensor) -> Tensor:
    """Values of a map (B, h, w, C) at points (B, P, 2) in [-1, 1], bilinear: (B, P, C)."""
    out = F.grid_sample(
        decoded.permute(0, 3, 1, 2), points_xy[:, None], mode="bilinear",
        padding_mode="border", align_corners=False,
    )  # fmt: skip
    return out[:, :, 0].transpose(1, 2)


def _columns(
    chosen: PictureSet, asked: NDArray[np.bool_] | None, bank: WordBank
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Rows of the words asked for, rows of the background words, and class -> column.

    The background, where there is one, is the last column; classes not asked for belong to it.
    """
    rows = bank.classes[chosen.name]
    keep = torch.ones(len(rows), dtype=torch.bool)
    if asked is not None:
        keep &= torch.from_numpy(asked)
    open_ended = chosen.background_index is not None or asked is not None
    if chosen.background_index is not None:
        keep[chosen.background_index] = False
    words = rows[keep]
    column = torch.full((len(rows),), len(words) if open_ended else -1)
    column[keep] = torch.arange(len(words))
    if not open_ended:
        return words, None, column
    clash = bank.alike[bank.background][:, words].any(1)
    return words, bank.background[~clash], column


def word_loss(
    features: Tensor, batch: Batch, sets: list[PictureSet], bank: WordBank, vectors: Tensor,
    scale: Tensor, even: int, overlap: float,
) -> tuple[Tensor, float]:  # fmt: skip
    """Mean over the photos of cross-entropy over their words, plus soft Dice on even points.

    features: (B, P, D) at the points; vectors: (W, D); the first ``even`` points of a photo were
    drawn class by class, so Dice looks at the others only. Also returns the accuracy.
    """
    losses, hits, seen = [], 0, 0
    for b, s in enumerate(batch.sets):
        chosen = sets[s]
        if chosen.masks is None:
            continue
        words, background, column = _columns(chosen, batch.asked[b], bank)
        labels = torch.from_numpy(batch.labels[b])
        target = torch.where(labels >= 0, column[labels.clamp(min=0)], -1)
        logits = scale * features[b] @ vectors[words].T
        if background is not None:
            rest = scale * features[b] @ vectors[background].T
            logits = torch.cat([logits, rest.logsumexp(-1, keepdim=True)], -1)
        known = target >= 0
        if not known.any():
            continue
        loss = F.cross_entropy(logits, target, ignore_index=-1)
        with torch.no_grad():
            hits += int((logits.argmax(-1) == target)[known].sum())
            seen += int(known.sum())
        spread = known.clone()
        spread[:even] = False
        if overlap and spread.any():
            truth = F.one_hot(target[spread], logits.shape[-1]).to(logits.dtype)
            there = truth.any(0)
            share = logits[spread].softmax(-1)[:, there]
            truth = truth[:, there]
            both = (share * truth).sum(0)
            dice = 1 - (2 * both + 1) / (share.sum(0) + truth.sum(0) + 1)
            loss = loss + overlap * dice.mean()
        losses.append(loss)
    if not losses:
        return features.sum() * 0, 0.0
    return torch.stack(losses).mean(), hits / max(seen, 1)


def head_loss(student: Tensor, teacher: Tensor, vectors: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy between the ImageNet head's view of a cell and the words' view of it.

    student: (B, h, w, D) unit length; teacher: (B, 1000, h, w) logits. A cell counts by how sure
    the head is.
    """
    wanted = teacher.permute(0, 2, 3, 1).softmax(-1)
    sure = wanted.amax(-1)
    sure = torch.where(sure > 0.15, sure, 0.0)
    made = (scale * student @ vectors.T).log_softmax(-1)
    each = -(wanted * made).sum(-1)
    return (each * sure).sum() / sure.sum().clamp(min=1.0)
