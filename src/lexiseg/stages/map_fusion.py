"""A map of words fused with masks, on the mask model's own grid: which word has each place.

Masks are evidence, not stencils. What lies in one mask is probably one thing, whatever it was
prompted for, so places share what the map says of the masks that they lie in: all candidates vote
while the best are selected. A mask that was kept for a word speaks for it inside, and against it in
what it left over of the word's region.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.prompts import Vocabulary
from lexiseg.protocols import DenseScores, Frame, RawMasks
from lexiseg.stages.label_map import GuidedFilter, Labels, guided_radius, winning_labels
from lexiseg.stages.mask_prompting import CandidateBatch, Regions, ScoredMasks
from lexiseg.stages.mask_selection import (
    GridScores,
    best_candidates,
    classify_clicked,
    good_candidates,
    grid_iou,
    mask_nms,
    score_grid,
)

__all__ = [
    "Candidates", "MaskVotes", "NestedRule", "Selection", "WordMap", "add_votes",
    "fused_probabilities", "label_fused", "mask_grid_filter", "rejected_regions", "select_masks",
    "start_votes",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class WordMap:
    """The map of words, and its winners at working size.

    scores: of all classes. vocabulary: they are of. labels: (h, w), the word of each pixel,
    excluded ones among them, -1 for the background. probabilities: (h, w) float32, the winner's.
    """

    scores: DenseScores
    vocabulary: Vocabulary
    labels: NDArray[np.integer]
    probabilities: NDArray[np.float32]

    @property
    def num_words(self) -> int:
        """How many words there are, excluded ones among them."""
        return len(self.vocabulary.words) + len(self.vocabulary.excluded)


@dataclass(frozen=True)
class NestedRule:
    """Keep all good candidates, also those that lie in one another.

    min_quality, min_stability: what each must reach, in [0, 1]. iou_threshold: of a word's masks
    with at least this IoU the better one alone stays.
    """

    min_quality: float
    min_stability: float
    iou_threshold: float


@dataclass(frozen=True, eq=False)
class Selection:
    """What became of the candidates, on the mask model's grid.

    grid: the map there. competing: the classes that compete for places. votes: of all candidates.
    masks: the best of each prompt, then what was clicked. nested: all good ones, where wanted.
    """

    grid: GridScores
    competing: Candidates
    votes: MaskVotes
    masks: ScoredMasks
    nested: ScoredMasks | None


def select_masks(
    batches: Iterable[CandidateBatch],
    word_map: WordMap,
    regions: Regions,
    *,
    clicked: RawMasks | None = None,
    min_agreement: float,
    min_quality: float,
    nested: NestedRule | None = None,
) -> Selection | None:
    """Return the best candidate of each prompt, where it is good enough; None for no prompt.

    clicked: masks that a user pointed at, kept whatever the map says.
    """
    grid: GridScores | None = None
    competing: Candidates | None = None
    votes: MaskVotes | None = None
    best: list[ScoredMasks] = []
    own: list[ScoredMasks] = []
    good: ScoredMasks | None = None
    for raw, batch in _with_clicked(batches, clicked):
        if grid is None or competing is None or votes is None:
            grid = _grid(raw, word_map, regions)
            if clicked is not None:
                own = [classify_clicked(clicked, grid, len(word_map.vocabulary.words))]
            competing = _competing(grid, word_map, own)
            votes = start_votes(competing)
        votes = add_votes(votes, raw, competing, grid.inside)
        if batch is None:
            continue
        best.append(
            best_candidates(batch, grid, min_agreement=min_agreement, min_quality=min_quality)
        )
        if nested is not None:
            good = _with_nested(good, batch, grid, nested)
    if grid is None or competing is None or votes is None:
        return None
    if good is not None:
        good = ScoredMasks.concat([good, *own])
    return Selection(grid, competing, votes, ScoredMasks.concat([*best, *own]), good)


def _with_nested(
    good: ScoredMasks | None, batch: CandidateBatch, grid: GridScores, rule: NestedRule
) -> ScoredMasks:
    new = good_candidates(
        batch, grid, min_quality=rule.min_quality, min_stability=rule.min_stability
    )
    both = new if good is None else ScoredMasks.concat([good, new])
    iou, rank = grid_iou(both.raw.logits), both.scores * both.quality
    return both[mask_nms(iou, both.class_ids, rank, rule.iou_threshold)]


def _with_clicked(
    batches: Iterable[CandidateBatch], clicked: RawMasks | None
) -> Iterator[tuple[RawMasks, CandidateBatch | None]]:
    for batch in batches:
        yield batch.raw, batch
    if clicked is not None:
        yield clicked, None


def _grid(raw: RawMasks, word_map: WordMap, regions: Regions) -> GridScores:
    grid_hw = (raw.logits.shape[1], raw.logits.shape[2])
    return score_grid(
        word_map.scores, word_map.num_words, word_map.labels, regions, raw.frame, grid_hw
    )


def _competing(grid: GridScores, word_map: WordMap, clicked: list[ScoredMasks]) -> Candidates:
    """The words that have any pixel or any click, and the background."""
    vocabulary = word_map.vocabulary
    words = set(np.unique(word_map.labels[word_map.labels >= 0]).tolist())
    for masks in clicked:
        words.update(masks.class_ids.tolist())
    background = vocabulary.background_index
    if background is not None:
        words.add(background)
    opened = vocabulary.background is not None and background is None
    return Candidates.of(grid, words, opened=opened, background=background)


_MIN_PROBABILITY = 1e-3  # of a word; a smaller one says no more
_MIN_BACKGROUND = 1e-2  # of no word at all, which is never that unlikely
_CERTAIN = 20.0  # nats: what a user pointed at
_BEST_QUALITY = 0.98


@dataclass(frozen=True, eq=False)
class Candidates:
    """The classes that compete for places: C words that have any, and no word at all.

    class_ids: (C,) int64, -1 for no word. probabilities: (C, h, w), what the map says of each.
    min_probabilities: (C, 1, 1), what each has at least.
    """

    class_ids: NDArray[np.int64]
    probabilities: Tensor
    min_probabilities: Tensor

    @classmethod
    def of(
        cls, scores: GridScores, words: Collection[int], *, opened: bool, background: int | None
    ) -> Candidates:
        """words: those that compete. opened: whether no word is a candidate too. background: the
        word that stands for no word, if there is one."""
        class_ids = np.array(sorted(words), np.int64)
        rows = torch.from_numpy(class_ids).to(scores.probabilities.device)
        parts = [scores.probabilities[rows]]
        if opened:
            parts.append(scores.background[None])
            class_ids = np.append(class_ids, -1)
        weakest = [
            _MIN_BACKGROUND if i in (-1, background) else _MIN_PROBABILITY
            for i in class_ids.tolist()
        ]
        device = scores.probabilities.device
        return cls(class_ids, torch.cat(parts), torch.tensor(weakest, device=device)[:, None, None])


@dataclass(frozen=True, eq=False)
class MaskVotes:
    """What the map says of masks, summed over all candidate masks, kept or not.

    sums: (C, h, w), each mask's mean probabilities times its weight. weights: (h, w), their sum.
    cover: (h, w), the largest probability of any mask.
    """

    sums: Tensor
    weights: Tensor
    cover: Tensor

    @property
    def means(self) -> Tensor:
        """The mean over the masks that a place lies in, (C, h, w); 0 where there are none."""
        return self.sums / self.weights.clamp_min(1e-9)


def start_votes(candidates: Candidates) -> MaskVotes:
    """Return the votes of no masks."""
    zeros = torch.zeros_like(candidates.probabilities)
    return MaskVotes(zeros, zeros[0], zeros[0])


def add_votes(votes: MaskVotes, raw: RawMasks, candidates: Candidates, inside: Tensor) -> MaskVotes:
    """Return the votes with those of M further masks: each gives its mean of the map to its places,
    with the more weight the better it is and the surer its mean."""
    if not len(raw):
        return votes
    flat = (raw.logits.float().sigmoid() * inside).flatten(1)
    means = flat @ candidates.probabilities.flatten(1).T / flat.sum(1).clamp_min(1)[:, None]
    weight = means.amax(1) ** 2 * raw.quality.float()
    shape = votes.cover.shape
    return replace(
        votes,
        sums=votes.sums + ((means * weight[:, None]).T @ flat).view_as(votes.sums),
        weights=votes.weights + (weight @ flat).view(shape),
        cover=torch.maximum(votes.cover, flat.amax(0).view(shape)),
    )


def fused_probabilities(
    candidates: Candidates,
    votes: MaskVotes,
    masks: ScoredMasks | None,
    rejected: Tensor,
    *,
    pooling: float,
    trust: float,
) -> Tensor:
    """Return the probability of each candidate at each place, (C, h, w), summing to 1.

    rejected: (h, w) int64, the word whose region masks have answered for, -1 for none.
    pooling: the part of the evidence, in [0, 1], that places share with the masks they lie in.
    trust: nats for which a mask of quality 0.5 speaks; of quality q, log2(1 - q)**2 times as many:
    poor masks whisper, sure ones decide.
    """
    own, pooled = (
        p.clamp_min(candidates.min_probabilities).log()
        for p in (candidates.probabilities, votes.means)
    )
    out = own + pooling * votes.cover * (pooled - own)
    evidence = None if masks is None or not len(masks) else _evidence(masks, trust)
    for row, class_id in enumerate(candidates.class_ids.tolist()):
        if class_id < 0:
            continue
        lost = rejected == class_id
        mine = (
            np.zeros(0, np.int64) if masks is None else np.flatnonzero(masks.class_ids == class_id)
        )
        if evidence is not None and len(mine):
            best = evidence[torch.from_numpy(mine).to(evidence.device)].amax(0)
            out[row] += torch.where(best > 0, best, torch.where(lost, best, 0))
        else:  # where a user said that it is not this
            out[row] -= _CERTAIN * lost
    return out.softmax(0)


def rejected_regions(
    scores: GridScores,
    regions: Regions,
    covered: NDArray[np.bool_],
    dropped: NDArray[np.integer] | None = None,
) -> Tensor:
    """Return the word of each place whose region is covered, (R,), or dropped; -1 elsewhere.

    The places next to a region that are in none count as its own. Returns (h, w) int64.
    """
    lost = covered.copy()
    if dropped is not None:
        lost[dropped] = True
    words = np.append(np.where(lost, regions.word, -1), -1)  # -1 reads the last one
    found = torch.from_numpy(words).to(scores.regions.device)[scores.regions]
    fringe = F.max_pool2d(found[None].float(), 3, 1, 1)[0].long()
    return torch.where(scores.regions < 0, fringe, found)


def label_fused(
    fused: Tensor,
    candidates: Candidates,
    guide: GuidedFilter,
    only: Collection[int] | None = None,
) -> Labels:
    """Return the label map, (H, W), of fused probabilities (C, h, w), along the image's outlines.

    guide: see ``mask_grid_filter``. only: words that are wanted; see ``winning_labels``.
    """
    height, width = (-(-length // guide.cell) for length in guide.work_hw)  # without padding
    rows = None if only is None else np.flatnonzero(np.isin(candidates.class_ids, list(only)))
    return winning_labels(fused[:, :height, :width], guide, values=candidates.class_ids, only=rows)


def mask_grid_filter(
    rgb: NDArray[np.uint8],
    frame: Frame,
    grid_hw: tuple[int, int],
    radius: int | None,
    epsilon: float,
) -> GuidedFilter:
    """Return the guided filter for maps on a mask model's grid.

    Cells no larger than a pixel need none.
    """
    part = [
        pixels / cells * padded / given
        for pixels, cells, padded, given in zip(
            frame.size_hw, grid_hw, frame.padded_hw, frame.input_hw, strict=True
        )
    ]
    cell = frame.padded_hw[0] // grid_hw[0]
    radius = guided_radius(radius, cell) if max(part) > 1 else 0
    exact = all(p == cell * g for p, g in zip(frame.padded_hw, grid_hw, strict=True))
    if exact:
        return GuidedFilter(rgb, frame.input_hw, cell, radius, epsilon)
    work_hw = tuple(
        max(1, round(cells * given / padded))
        for cells, given, padded in zip(grid_hw, frame.input_hw, frame.padded_hw, strict=True)
    )
    return GuidedFilter(rgb, (work_hw[0], work_hw[1]), 1, radius, epsilon)


def _evidence(masks: ScoredMasks, trust: float) -> Tensor:
    """What each mask says of each place, in nats for its word, (N, h, w)."""
    logits = masks.raw.logits.float()
    quality = masks.quality.clip(0, _BEST_QUALITY)
    nats = np.where(masks.clicked, _CERTAIN, trust * np.log2(1 - quality) ** 2)
    weights = torch.from_numpy(nats.astype(np.float32)).to(logits.device)
    return weights[:, None, None] * torch.tanh(logits / 2)
