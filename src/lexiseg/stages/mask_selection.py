"""Which masks stay: those that agree with a map of words, and of duplicates the best.

Candidates are logits, compared with the map on the mask model's own grid, before upsampling. Sums
over masks are matrix products: M masks against K words cost M * K * h * w multiplications and no
loop. What is decided of a batch comes back from its device in one piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.protocols import DenseScores, Frame, RawMasks
from lexiseg.stages.mask_prompting import CANDIDATES, CandidateBatch, Regions, ScoredMasks

__all__ = [
    "GridScores", "best_candidates", "best_masks", "classify_clicked", "contain_points",
    "good_candidates", "grid_iou", "mask_nms", "score_grid", "without_nested",
]  # fmt: skip

_RECALL_WEIGHT = 0.5  # beta of the F measure: a region may be several things
_HELD = 0.5  # the part of a nested mask that its word must hold
# A mask made of several things: so much better rated masks cover so much of it.
_BETTER, _COVERED = 1.25, 0.5


@dataclass(frozen=True, eq=False)
class GridScores:
    """The map of words on the cells of a mask grid.

    probabilities: (K, h, w) float32, of each word, excluded ones behind the others; 0 beyond the
    image. labels: (h, w) int64, the word that wins, -1 for none. regions: (h, w) int64, -1 for
    none. inside: (h, w) bool, the cells that lie on the image. frame: how the grid lies on it.
    """

    probabilities: Tensor
    labels: Tensor
    regions: Tensor
    inside: Tensor
    frame: Frame

    @property
    def background(self) -> Tensor:
        """The probability of no word at all, (h, w)."""
        return (1 - self.probabilities.sum(0)).clamp_min(0) * self.inside

    def mean_probabilities(self, masks: Tensor) -> Tensor:
        """Return the mean probability of each word in masks (M, h, w) bool, (M, K)."""
        flat = masks.flatten(1).float()
        sums = flat @ self.probabilities.flatten(1).T
        return sums / (flat @ self.inside.flatten().float()).clamp_min(1)[:, None]


def score_grid(
    scores: DenseScores,
    num_words: int,
    labels: NDArray[np.integer],
    regions: Regions,
    frame: Frame,
    grid_hw: tuple[int, int],
) -> GridScores:
    """Bring a map of words to the cells of a mask grid.

    scores: of which the first ``num_words`` classes are words. labels, regions: (H, W) of any size,
    of the same image; the pixel nearest to a cell's centre counts.
    """
    device = scores.probabilities.device
    centres = [
        (torch.arange(cells) + 0.5) / cells * padded / given
        for cells, padded, given in zip(grid_hw, frame.padded_hw, frame.input_hw, strict=True)
    ]
    inside = (centres[0] < 1)[:, None] & (centres[1] < 1)
    maps = scores.probabilities[:num_words]
    # Places as parts of the map's own grid, whose last cells may reach over the image.
    y, x = (
        centre.clamp(max=1) * (given / scores.cell / cells * 2) - 1
        for centre, given, cells in zip(centres, scores.input_hw, maps.shape[1:], strict=True)
    )
    places = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None].to(device)
    inside = inside.to(device)
    on_grid = F.grid_sample(
        maps[None], places, mode="bilinear", padding_mode="border", align_corners=False
    )[0]

    def nearest(values: NDArray[np.integer]) -> Tensor:
        rows, columns = (
            np.minimum((centre.numpy() * length).astype(np.int64), length - 1)
            for centre, length in zip(centres, values.shape, strict=True)
        )
        taken = torch.from_numpy(values[rows[:, None], columns].astype(np.int64))
        return torch.where(inside, taken.to(device), -1)

    return GridScores(on_grid * inside, nearest(labels), nearest(regions.number), inside, frame)


def best_candidates(
    batch: CandidateBatch, scores: GridScores, *, min_agreement: float, min_quality: float
) -> ScoredMasks:
    """Return the best candidate of each prompt, where it is good enough.

    The best has the highest product of quality and agreement. Agreement is the F measure of the
    mask against the map: precision is the part of the mask in which its word wins, recall the part
    of its region that it covers. It is good enough where it agrees, and where its word has the
    largest mean probability inside it, no word at all included.
    """
    raw, prompts = batch.raw, batch.prompts
    masks = (raw.logits > 0) & scores.inside
    flat = masks.flatten(1).float()
    area = flat.sum(1)
    hits = _hits(flat, scores.labels, np.repeat(prompts.class_ids, CANDIDATES))
    regions = np.repeat(prompts.regions, CANDIDATES)
    covered = _hits(flat, scores.regions, regions)
    whole = (scores.regions.flatten() == _on(regions, area)[:, None]).sum(1)
    # A region smaller than a cell, or none at all, has nothing that could be missed.
    missable = (whole > 0) & (_on(regions, area) >= 0)
    recall = torch.where(missable, covered / whole.clamp_min(1), 1.0)
    agreement = _f_score(hits / area.clamp_min(1), recall, _RECALL_WEIGHT)
    quality = raw.quality.float().clamp(0, 1)
    value = torch.where(area > 0, quality * (agreement + 1e-6), -1.0).view(-1, CANDIDATES)
    rows = torch.arange(len(prompts), device=area.device) * CANDIDATES + value.argmax(1)
    means = scores.mean_probabilities(masks[rows])
    own = means.gather(1, _on(prompts.class_ids, area)[:, None])[:, 0]
    wins = (own >= means.amax(1)) & (own >= 1 - means.sum(1)) & (area[rows] > 0)
    good = wins & (agreement[rows] >= min_agreement) & (quality[rows] >= min_quality)
    return _scored(raw, prompts.class_ids, prompts.regions, good, rows, own, quality[rows])


def good_candidates(
    batch: CandidateBatch, scores: GridScores, *, min_quality: float, min_stability: float
) -> ScoredMasks:
    """Return all candidates that the mask model rates well and of which their word holds half.

    Stability is the part of what is above -1 logits that is above 1 too.
    """
    raw, prompts = batch.raw, batch.prompts
    masks = (raw.logits > 0) & scores.inside
    flat = masks.flatten(1).float()
    area = flat.sum(1)
    larger, smaller = ((raw.logits > at).flatten(1).sum(1) for at in (-1, 1))
    class_ids = np.repeat(prompts.class_ids, CANDIDATES)
    held = _hits(flat, scores.labels, class_ids)
    quality = raw.quality.float().clamp(0, 1)
    good = (quality >= min_quality) & (smaller >= min_stability * larger)
    good &= (area > 0) & (held >= _HELD * area)
    means = scores.mean_probabilities(masks)
    own = means.gather(1, _on(class_ids, area)[:, None])[:, 0]
    rows = torch.arange(len(raw), device=area.device)
    return _scored(raw, class_ids, np.full(len(class_ids), -1), good, rows, own, quality)


def classify_clicked(raw: RawMasks, scores: GridScores, num_words: int) -> ScoredMasks:
    """Give each mask that a user pointed at the likeliest of the first ``num_words`` words."""
    means = scores.mean_probabilities((raw.logits > 0) & scores.inside)[:, :num_words]
    best, class_ids = means.max(1)
    quality = raw.quality.float().clamp(0, 1)
    values = torch.stack([best.clamp(0, 1), quality, class_ids.float()]).cpu().numpy()
    return ScoredMasks(
        raw,
        values[2].astype(np.int64),
        np.full(len(raw), -1, np.int64),
        values[0],
        values[1],
        np.ones(len(raw), np.bool_),
    )


def grid_iou(logits: Tensor) -> NDArray[np.float32]:
    """Return the IoU of masks (N, h, w) with each other on their grid, (N, N)."""
    flat = (logits > 0).flatten(1).float()
    common = flat @ flat.T
    area = flat.sum(1)
    union = area[:, None] + area[None] - common
    out: NDArray[np.float32] = (common / union.clamp_min(1)).cpu().numpy()
    return out


def contain_points(raw: RawMasks, points_xy: Sequence[Sequence[float]]) -> NDArray[np.bool_]:
    """Return which masks hold which pixels of the image, (N, P) bool, as far as the grid shows."""
    frame = raw.frame
    places = (np.array(points_xy, np.float64).reshape(-1, 2) + 0.5) / frame.size_hw[::-1]
    grid_hw = raw.logits.shape[1:]
    rows, columns = (
        np.minimum(
            (places[:, 1 - axis] * frame.input_hw[axis] / frame.padded_hw[axis] * cells), cells - 1
        ).astype(np.int64)
        for axis, cells in enumerate(grid_hw)
    )
    out: NDArray[np.bool_] = (raw.logits[:, rows, columns] > 0).cpu().numpy()
    return out


def mask_nms(
    iou: NDArray[np.floating],
    words: NDArray[np.int64],
    rank: NDArray[np.floating],
    threshold: float,
) -> NDArray[np.int64]:
    """Return which of N masks are no duplicates, in ascending order.

    iou: (N, N). From the highest ``rank`` (N,) to the lowest (ties: the earlier first), a mask is
    kept unless it has an IoU of at least ``threshold`` with one kept before of the same word.
    """
    rivals = (iou >= threshold) & (words[:, None] == words[None])
    alive = np.ones(len(words), np.bool_)
    for i in np.argsort(-rank, kind="stable").tolist():
        if alive[i]:
            alive &= ~rivals[i]
            alive[i] = True
    return np.flatnonzero(alive)


def best_masks(
    masks: Masks, class_id: NDArray[np.int64], score: NDArray[np.float32], threshold: float
) -> NDArray[np.int64]:
    """Return which of N masks stay, ascending: of two that are one thing the better score.

    Two masks are one where their IoU is at least ``threshold``, whatever their words.
    """
    return mask_nms(masks.iou(masks), np.zeros_like(class_id), score, threshold)


def without_nested(
    masks: Masks,
    iou: NDArray[np.floating],
    word: NDArray[np.int64],
    rank: NDArray[np.floating],
    share: float,
) -> NDArray[np.int64]:
    """Return the masks that stay, (M,) numbers in order.

    iou: (N, N). word, rank: (N,). Of each word the largest mask comes first: the smaller ones of
    which at least ``share`` lies in it are its parts. It goes where much better ranked parts cover
    half of it; otherwise they go.
    """
    areas = masks.areas.astype(np.float64)
    common = iou / (1 + iou) * (areas[:, None] + areas)
    inside = (common >= share * areas) & (word[:, None] == word)  # [whole, part]
    left = np.ones(len(masks), np.bool_)
    order = np.argsort(-areas, kind="stable")
    for i, whole in enumerate(order.tolist()):
        if not left[whole]:
            continue
        later = order[i + 1 :]
        parts = later[inside[whole, later] & left[later]]
        better = parts[rank[parts] > _BETTER * rank[whole]]
        if len(better) and common[whole, better].sum() >= _COVERED * areas[whole]:
            covered = masks[better].union() & masks.mask(whole)
            if covered.sum() >= _COVERED * areas[whole]:
                left[whole] = False
                continue
        left[parts] = False
    return np.flatnonzero(left)


def _hits(flat: Tensor, cells: Tensor, wanted: NDArray[np.integer]) -> Tensor:
    """How many cells of each mask (M, h * w) hold the value that is wanted of it, (M,)."""
    values, which = np.unique(wanted, return_inverse=True)
    held = (cells.flatten()[None] == _on(values, flat)[:, None]).float()
    return (flat @ held.T).gather(1, _on(which.reshape(-1), flat)[:, None])[:, 0]


def _f_score(precision: Tensor, recall: Tensor, beta: float) -> Tensor:
    """The F measure in which recall counts ``beta`` times as much as precision."""
    weight = beta * beta
    return (1 + weight) * precision * recall / (weight * precision + recall).clamp_min(1e-9)


def _scored(
    raw: RawMasks,
    class_ids: NDArray[np.integer],
    regions: NDArray[np.integer],
    good: Tensor,
    rows: Tensor,
    own: Tensor,
    quality: Tensor,
) -> ScoredMasks:
    """The masks of ``rows`` (P,) that are good, (P,); all that is known of each is (P,)."""
    # float64 holds row numbers exactly
    values = torch.stack([good.double(), rows.double(), own.double(), quality.double()])
    table = values.cpu().numpy()
    kept = np.flatnonzero(table[0] > 0)
    return ScoredMasks(
        raw[_on(table[1, kept].astype(np.int64), raw.logits)],
        class_ids[kept].astype(np.int64),
        regions[kept].astype(np.int64),
        table[2, kept].clip(0, 1).astype(np.float32),
        table[3, kept].astype(np.float32),
        np.zeros(len(kept), np.bool_),
    )


def _on(values: NDArray[np.integer], like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.int64)).to(like.device)
