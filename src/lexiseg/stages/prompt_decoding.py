"""Asking a mask model: prompts from places, in chunks, of which one candidate each survives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg.protocols import Masker, MaskPrompts, MaskState, RawMasks
from lexiseg.stages.mask_agreement import GridScores, best_candidates

__all__ = [
    "PromptBatch",
    "ScoredMasks",
    "assign_words",
    "concat_masks",
    "decode_clicks",
    "decode_prompts",
    "point_prompts",
]

_AT_ONCE = 64  # prompts, whose candidates are held together


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """P prompts, and what each is for: (P,) int64, an index into words, and one into regions."""

    prompts: MaskPrompts
    word: NDArray[np.int64]
    region: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.word)


@dataclass(frozen=True, eq=False)
class ScoredMasks:
    """N masks that survived, and what each is.

    word, region: as in `PromptBatch`; -1 for no region. forced: (N,) bool, asked for by a user.
    probability: (N,) float32, the mean probability of its word inside.
    """

    raw: RawMasks
    word: NDArray[np.int64]
    region: NDArray[np.int64]
    forced: NDArray[np.bool_]
    probability: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.word)

    @property
    def quality(self) -> NDArray[np.float32]:
        """The mask model's own opinion, (N,) in [0, 1]."""
        out: NDArray[np.float32] = self.raw.quality.float().clamp(0, 1).cpu().numpy()
        return out

    def __getitem__(self, key: NDArray[np.generic]) -> ScoredMasks:
        return ScoredMasks(
            self.raw[torch.from_numpy(np.asarray(key)).to(self.raw.logits.device)],
            *(getattr(self, name)[key] for name in ("word", "region", "forced", "probability")),
        )


def point_prompts(
    points_xy: NDArray[np.floating],
    negatives_xy: NDArray[np.floating],
    negatives: NDArray[np.bool_],
) -> MaskPrompts:
    """Return P prompts of a point each, (P, 2), with negative ones, (P, n, 2) where (P, n)."""
    places = np.concatenate([points_xy[:, None], negatives_xy], 1).astype(np.float32)
    signs = np.where(negatives, 0, -1).astype(np.int64)
    labels = np.concatenate([np.ones((len(points_xy), 1), np.int64), signs], 1)
    return MaskPrompts(torch.from_numpy(places), torch.from_numpy(labels))


def decode_prompts(
    masker: Masker,
    state: MaskState,
    request: PromptBatch,
    look: Callable[[RawMasks], GridScores],
    hear: Callable[[GridScores, RawMasks, NDArray[np.int64]], None] = lambda seen, raw, word: None,
    *,
    min_agreement: float,
    min_quality: float,
) -> ScoredMasks | None:
    """Return the best candidate of each prompt where it is good enough; None for no prompt.

    It is where it agrees with the map, and where its word has the largest mean probability inside
    it, nothing included. look: gives what the map says on the grid of the masks. hear: is told all
    candidates.
    """
    parts: list[ScoredMasks] = []
    see: GridScores | None = None
    for start in range(0, len(request), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        raw = masker.decode(state, request.prompts[part], candidates=3)
        see = see or look(raw)
        hear(see, raw, request.word[part][raw.prompt.cpu().numpy()])
        word, region = (
            torch.from_numpy(values[part]).to(raw.logits.device)
            for values in (request.word, request.region)
        )
        best, agreement = best_candidates(raw, see, word, region)
        raw = raw[best]
        probabilities = see.mean_probabilities((raw.logits > 0) & see.inside)
        own = probabilities.gather(1, word[raw.prompt][:, None])[:, 0]
        wins = (own >= probabilities.amax(1)) & (own >= 1 - probabilities.sum(1))
        good = wins & (agreement >= min_agreement) & (raw.quality >= min_quality)
        kept = torch.nonzero(good)[:, 0]
        raw = raw[kept]
        at = raw.prompt.cpu().numpy()
        parts.append(
            ScoredMasks(
                raw,
                request.word[part][at],
                request.region[part][at],
                np.zeros(len(at), np.bool_),
                own[kept].clamp(0, 1).cpu().numpy(),
            )
        )
    return concat_masks(parts) if parts else None


def assign_words(raw: RawMasks, see: GridScores, words: int) -> ScoredMasks:
    """Give each mask that a user asked for the likeliest of the first ``words`` words."""
    probabilities = see.mean_probabilities((raw.logits > 0) & see.inside)[:, :words]
    best, word = probabilities.max(1)
    count = len(raw)
    return ScoredMasks(
        raw,
        word.cpu().numpy(),
        np.full(count, -1, np.int64),
        np.ones(count, np.bool_),
        best.clamp(0, 1).cpu().numpy(),
    )


def decode_clicks(
    masker: Masker,
    state: MaskState,
    points_xy: Sequence[Sequence[float]],
    boxes_xyxy: Sequence[Sequence[float]],
    not_points_xy: Sequence[Sequence[float]],
) -> RawMasks:
    """Return one mask for each point, then for each box: of a point's candidates the best rated.

    A click on a pixel means its centre. Points of ``not_points_xy`` count for all prompts.
    """
    wrong = np.array(not_points_xy, np.float32).reshape(1, -1, 2) + 0.5
    parts = []
    if len(points_xy):
        right = np.array(points_xy, np.float32).reshape(-1, 2) + 0.5
        others = np.repeat(wrong, len(right), 0)
        prompts = point_prompts(right, others, np.ones(others.shape[:2], np.bool_))
        raw = masker.decode(state, prompts, candidates=3)
        value = torch.where((raw.logits > 0).flatten(1).any(1), raw.quality.float(), -1.0)
        best = [
            int(at[value[at].argmax()])
            for at in (torch.nonzero(raw.prompt == i)[:, 0] for i in range(len(right)))
        ]
        parts.append(raw[torch.tensor(best, device=raw.logits.device)])
    if len(boxes_xyxy):
        boxes = torch.tensor(np.array(boxes_xyxy, np.float32).reshape(-1, 4))
        labels = torch.zeros(len(boxes), wrong.shape[1], dtype=torch.int64)
        places = torch.from_numpy(np.repeat(wrong, len(boxes), 0))
        prompts = MaskPrompts(boxes_xyxy=boxes)
        if wrong.shape[1]:
            prompts = MaskPrompts(places, labels, boxes)
        raw = masker.decode(state, prompts, candidates=1)
        parts.append(replace(raw, prompt=raw.prompt + len(points_xy)))
    return RawMasks(
        torch.cat([raw.logits for raw in parts]),
        torch.cat([raw.quality for raw in parts]),
        torch.cat([raw.prompt for raw in parts]),
        parts[0].frame,
    )


def concat_masks(parts: Sequence[ScoredMasks]) -> ScoredMasks:
    """Return the answers of several calls, one after the other."""
    raws = [part.raw for part in parts]
    return ScoredMasks(
        RawMasks(
            torch.cat([raw.logits for raw in raws]),
            torch.cat([raw.quality for raw in raws]),
            torch.cat([raw.prompt for raw in raws]),
            raws[0].frame,
        ),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("word", "region", "forced", "probability")
        ),
    )
