"""Masks as logits compared with a map of words, on the mask model's own grid, before any lifting.

Sums over masks are matrix products: M masks against K words cost M * K * h * w multiplications and
no loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.protocols import Frame, RawMasks
from lexiseg.stages.regions import Regions

__all__ = [
    "GridScores",
    "best_candidates",
    "f_score",
    "grid_iou",
    "grid_scores",
    "grid_values",
]


@dataclass(frozen=True, eq=False)
class GridScores:
    """What the map says about the cells of a mask grid.

    probabilities: (K, h, w) float32, of each word; 0 beyond the picture. labels: (h, w)
    int64, the word that wins, -1 for none. region: (h, w) int64, -1 for none. inside: (h, w) bool,
    the cells that lie on the picture.
    """

    probabilities: Tensor
    labels: Tensor
    region: Tensor
    inside: Tensor

    def mean_probabilities(self, masks: Tensor) -> Tensor:
        """Return the mean probability of each word in masks (M, h, w) bool, (M, K)."""
        flat = masks.flatten(1).float()
        sums = flat @ self.probabilities.flatten(1).T
        return sums / (flat @ self.inside.flatten().float()).clamp_min(1)[:, None]


def grid_scores(
    grid: NDArray[np.float16],
    labels: NDArray[np.integer],
    regions: Regions,
    frame: Frame,
    grid_hw: tuple[int, int],
    device: torch.device,
) -> GridScores:
    """Bring a score map (K, y, x), a label map and regions, (H, W) of any size, to a mask grid."""

    def taken(values: NDArray[np.generic], fill: float) -> Tensor:
        rows, columns = (
            _nearest(cells, length, *sizes)
            for cells, length, sizes in zip(
                grid_hw,
                values.shape[-2:],
                zip(frame.padded_hw, frame.input_hw, strict=True),
                strict=True,
            )
        )
        chosen = values[..., rows.clip(0)[:, None], columns.clip(0)]
        chosen = np.where((rows >= 0)[:, None] & (columns >= 0), chosen, fill)
        return torch.from_numpy(np.ascontiguousarray(chosen)).to(device)

    there = taken(np.ones(labels.shape, np.float32), 0.0) > 0
    return GridScores(
        taken(grid.astype(np.float32), 0.0).float(),
        taken(labels.astype(np.int64), -1).long(),
        taken(regions.number.astype(np.int64), -1).long(),
        there,
    )


def _nearest(cells: int, length: int, padded: int, given: int) -> NDArray[np.int64]:
    """For the centre of each cell, the pixel of a map of ``length`` pixels, -1 beyond it."""
    part = (np.arange(cells) + 0.5) / cells * padded / given
    return np.where(part < 1, np.minimum((part * length).astype(np.int64), length - 1), -1)


def f_score(precision: Tensor, recall: Tensor, beta: float) -> Tensor:
    """The F measure in which recall counts ``beta`` times as much as precision."""
    weight = beta * beta
    return (1 + weight) * precision * recall / (weight * precision + recall).clamp_min(1e-9)


def best_candidates(
    raw: RawMasks, seen: GridScores, word: Tensor, region: Tensor, *, beta: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Return the best candidate of each of P prompts, (P',), and its agreement, (P',) in [0, 1].

    word, region: (P,), what each prompt asks for; region -1 where it has none. Agreement is the F
    measure of the mask against the map: precision is the part of the mask in which its word wins,
    recall the part of its region that it covers. Recall counts ``beta`` times as much, since a
    region may be several things. The best has the highest product of quality and agreement; a
    prompt whose candidates are all empty has none.
    """
    masks = (raw.logits > 0) & seen.inside
    flat = masks.flatten(1).float()
    area = flat.sum(1)
    words, of_word = torch.unique(word[raw.prompt], return_inverse=True)
    wins = (seen.labels.flatten()[None] == words[:, None]).float()
    hits = (flat @ wins.T).gather(1, of_word[:, None])[:, 0]
    places, of_place = torch.unique(region[raw.prompt], return_inverse=True)
    spots = (seen.region.flatten()[None] == places[:, None]).float()
    spots[places < 0] = 0
    covered = (flat @ spots.T).gather(1, of_place[:, None])[:, 0]
    whole = spots.sum(1)[of_place]
    # A region smaller than a cell, or none at all, has nothing that could be missed.
    recall = torch.where(whole > 0, covered / whole.clamp_min(1), 1.0)
    agreement = f_score(hits / area.clamp_min(1), recall, beta)
    value = torch.where(area > 0, raw.quality.float().clamp(0, 1) * (agreement + 1e-6), -1.0)
    best = torch.full((len(word),), -1.0, device=value.device)
    best.scatter_reduce_(0, raw.prompt, value, "amax")
    hit = (value == best[raw.prompt]) & (area > 0)
    order = torch.arange(len(value), device=value.device)
    first = torch.full_like(best, len(value), dtype=torch.int64)
    first.scatter_reduce_(0, raw.prompt[hit], order[hit], "amin")
    chosen = first[first < len(value)]
    return chosen, agreement[chosen]


def grid_iou(logits: Tensor) -> NDArray[np.float32]:
    """Intersection over union of masks (N, h, w) with each other on their grid, (N, N)."""
    flat = (logits > 0).flatten(1).float()
    common = flat @ flat.T
    area = flat.sum(1)
    either = area[:, None] + area[None] - common
    out: NDArray[np.float32] = (common / either.clamp_min(1)).cpu().numpy()
    return out


def grid_values(raw: RawMasks, points_xy: Sequence[Sequence[float]]) -> NDArray[np.bool_]:
    """Which masks hold which pixels of the picture, (N, P) bool, as far as the grid shows."""
    h, w = raw.logits.shape[1:]
    frame = raw.frame
    out = np.zeros((len(raw), len(points_xy)), np.bool_)
    for place, (x, y) in enumerate(points_xy):
        row = (y + 0.5) / frame.size_hw[0] * frame.input_hw[0] / frame.padded_hw[0] * h
        column = (x + 0.5) / frame.size_hw[1] * frame.input_hw[1] / frame.padded_hw[1] * w
        hit = raw.logits[:, min(int(row), h - 1), min(int(column), w - 1)] > 0
        out[:, place] = hit.cpu().numpy()
    return out
