"""Prompting a mask model: points and boxes become candidate masks, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg.protocols import Masker, MaskPrompts, MaskState, RawMasks

__all__ = [
    "CandidateBatch", "PromptBatch", "ScoredMasks", "decode_clicks", "decode_prompts",
    "point_prompts",
]  # fmt: skip

CANDIDATES = 3  # a prompt: part, whole, larger
# Prompts whose candidates are held together: as much as suits a cache; a GPU takes all at once.
_ON_CPU, _ON_GPU = 64, 1024


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """P prompts, and what each is for.

    class_ids: (P,) int64, the word. regions: (P,) int64, the region that it lies in, -1 for none.
    """

    prompts: MaskPrompts
    class_ids: NDArray[np.int64]
    regions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.class_ids)

    def __getitem__(self, key: slice) -> PromptBatch:
        return PromptBatch(self.prompts[key], self.class_ids[key], self.regions[key])


@dataclass(frozen=True, eq=False)
class CandidateBatch:
    """All candidates of P prompts, (P * 3), by prompt then by candidate, and the prompts."""

    raw: RawMasks
    prompts: PromptBatch


@dataclass(frozen=True, eq=False)
class ScoredMasks:
    """N masks on the mask model's grid, and what each is.

    class_ids: (N,) int64, its word. regions: (N,) int64, the region that it was prompted for, -1
    for none. scores: (N,) float32 in [0, 1], the mean probability of its word inside. quality: (N,)
    float32 in [0, 1], the mask model's own opinion. clicked: (N,) bool, whether a user pointed at
    it.
    """

    raw: RawMasks
    class_ids: NDArray[np.int64]
    regions: NDArray[np.int64]
    scores: NDArray[np.float32]
    quality: NDArray[np.float32]
    clicked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.class_ids)

    def __getitem__(self, key: NDArray[np.integer]) -> ScoredMasks:
        rows = torch.from_numpy(np.asarray(key)).to(self.raw.logits.device)
        arrays = (self.class_ids, self.regions, self.scores, self.quality, self.clicked)
        return ScoredMasks(self.raw[rows], *(array[key] for array in arrays))

    @classmethod
    def concat(cls, parts: Sequence[ScoredMasks]) -> ScoredMasks:
        """Return the masks of one or more parts of the same image, in order."""
        raws = [part.raw for part in parts]
        return cls(
            _concat_raw(raws),
            np.concatenate([part.class_ids for part in parts]),
            np.concatenate([part.regions for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.quality for part in parts]),
            np.concatenate([part.clicked for part in parts]),
        )


def _concat_raw(raws: Sequence[RawMasks]) -> RawMasks:
    """Return raw masks of several calls on one image, one after the other."""
    return RawMasks(
        torch.cat([raw.logits for raw in raws]),
        torch.cat([raw.quality for raw in raws]),
        torch.cat([raw.prompt for raw in raws]),
        raws[0].frame,
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
    masker: Masker, state: MaskState, prompts: PromptBatch
) -> Iterator[CandidateBatch]:
    """Yield three candidates for each prompt, as many prompts at a time as suit the device."""
    size = _ON_CPU if masker.device_name == "cpu" else _ON_GPU
    for start in range(0, len(prompts), size):
        part = prompts[start : start + size]
        yield CandidateBatch(masker.decode(state, part.prompts, candidates=CANDIDATES), part)


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
        raw = masker.decode(state, prompts, candidates=CANDIDATES)
        filled = (raw.logits > 0).flatten(1).any(1)
        value = torch.where(filled, raw.quality.float(), -1.0).view(len(right), CANDIDATES)
        first = torch.arange(len(right), device=value.device) * CANDIDATES
        parts.append(raw[first + value.argmax(1)])
    if len(boxes_xyxy):
        boxes = torch.tensor(np.array(boxes_xyxy, np.float32).reshape(-1, 4))
        labels = torch.zeros(len(boxes), wrong.shape[1], dtype=torch.int64)
        places = torch.from_numpy(np.repeat(wrong, len(boxes), 0))
        prompts = MaskPrompts(boxes_xyxy=boxes)
        if wrong.shape[1]:
            prompts = MaskPrompts(places, labels, boxes)
        raw = masker.decode(state, prompts, candidates=1)
        parts.append(replace(raw, prompt=raw.prompt + len(points_xy)))
    return _concat_raw(parts)
