"""Masks that may be things of a word: a mask model is asked in each region; the best ones stay.

A candidate's probability to be a thing of its word is a logistic function of a few numbers: the
mask model's own rating, its stability, and what the map says inside it, around it and of its
region. Greedy suppression (NMS) then keeps the most probable ones that do not overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.protocols import DenseScores, Masker, MaskState, RawMasks
from lexiseg.stages.label_map import Labels, resize_labels
from lexiseg.stages.mask_prompting import CANDIDATES, Regions, find_regions, point_prompts
from lexiseg.stages.mask_selection import GridScores, score_grid

__all__ = [
    "FEATURES", "WEIGHTS", "Candidates", "features", "propose_things", "select_things",
    "spread_points", "thing_probabilities",
]  # fmt: skip

_WORK = 256  # pixels of the longer side at which regions are found; mask grids are coarser
_INSET, _APART = 5.0, 5.0  # of them: from outlines to places that are asked, and between these
_RING = 2  # cells around a mask in which its word should not be
_LEAST = 0.02  # of what logarithms are taken of
_OUTSIDE = -10.0  # the logit of what a mask leaves out

# What is known of a candidate, in order: the mask model's rating; the area at a higher logit by
# that at a lower one (SAM's stability); the word's mean probability inside, in a ring around, and
# in the region; the square root of the share of the picture, and its logarithm; the IoU with the
# region, and its logarithm; the part of it that lies in the region.
FEATURES = (
    "rating", "stability", "inside", "ring", "in its region", "size", "log size", "region IoU",
    "log region IoU", "part in region",
)  # fmt: skip
# Of the features, and a constant: logistic regression on training photos of COCO, by the benchmark
# row `thing-scores`, whose result file holds these numbers.
WEIGHTS = (1.829, 1.877, 4.712, -1.31, -0.284, -1.936, 0.921, 4.146, 0.483, -2.162, -3.39)
_MIN_PROBABILITY = 0.1  # these limits were chosen on the same photos
_OWN = 0.4  # the part of a mask that its word must hold
_OVERLAP, _CONTAINED = 0.3, 0.5  # IoU, and part of the smaller mask: more is the same thing
_SAME = 0.8  # IoU from which on masks of two words are one thing


@dataclass(frozen=True, eq=False)
class Candidates:
    """M masks on the mask model's grid, three a place that was asked, and what they are for.

    raw: without what lies in further regions of their own word: that is another thing. grid: the
    map on the same cells. class_ids, region: (M,) int64, the word, and its region that was asked.
    """

    raw: RawMasks
    grid: GridScores
    class_ids: NDArray[np.int64]
    region: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.class_ids)

    @property
    def masks(self) -> Tensor:
        """The cells of each, (M, h, w) bool."""
        return (self.raw.logits > 0) & self.grid.inside

    @property
    def words(self) -> Tensor:
        """The word of each, (M,), on the device of the masks."""
        return torch.from_numpy(self.class_ids).to(self.raw.logits.device)


def propose_things(
    masker: Masker,
    state: MaskState,
    labels: Labels,
    scores: DenseScores,
    num_words: int,
    *,
    max_prompts: int,
    min_area: int,
) -> Candidates | None:
    """Return the candidates in the regions of a label map, (H, W); None where nothing is asked.

    labels: the word of each pixel, below 0 for none. scores: the map behind them, of which the
    first ``num_words`` classes are words. max_prompts: places asked; the smallest regions go
    without. min_area: pixels of a region.
    """
    size_hw = (labels.shape[0], labels.shape[1])
    scale = min(1.0, _WORK / max(size_hw))
    work_hw = (max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale)))
    small = cast(Labels, resize_labels(labels, work_hw))
    smallest = max(1, round(min_area * scale * scale))
    alike = np.ones(work_hw, np.float32)
    regions = find_regions(small, alike, num_words, threshold=0.0, min_area=smallest)
    points_xy, region = spread_points(regions, max_prompts, inset=_INSET, apart=_APART)
    if not len(region):
        return None
    places = (points_xy + 0.5) / scale
    nowhere = np.zeros((len(places), 0))
    prompts = point_prompts(places, nowhere[..., None].repeat(2, 2), nowhere.astype(np.bool_))
    raw = masker.decode(state, prompts, candidates=CANDIDATES)
    grid_hw = (raw.logits.shape[1], raw.logits.shape[2])
    grid = score_grid(scores, num_words, small, regions, raw.frame, grid_hw)
    region = np.repeat(region, CANDIDATES)
    class_ids = regions.word[region]
    raw = _without_other_regions(raw, grid, class_ids, region, regions.word)
    return Candidates(raw, grid, class_ids, region)


def features(candidates: Candidates) -> Tensor:
    """Return what is known of each, (M, 10) float32; see ``FEATURES``."""
    grid, masks, word = candidates.grid, candidates.masks, candidates.words
    flat = masks.flatten(1).float()
    area = flat.sum(1)
    numbers, which = np.unique(candidates.region, return_inverse=True)
    index = torch.from_numpy(which).to(flat.device)
    asked = grid.regions[None] == torch.from_numpy(numbers).to(flat.device)[:, None, None]
    both = (flat @ asked.flatten(1).float().T).gather(1, index[:, None])[:, 0]
    of_region = both / (area + asked.flatten(1).sum(1)[index] - both).clamp_min(1)
    larger, smaller = ((candidates.raw.logits > at).flatten(1).sum(1) for at in (-1, 1))
    around = F.max_pool2d(flat.view_as(masks)[:, None], 2 * _RING + 1, 1, _RING)[:, 0] > 0
    own, ring = (
        grid.mean_probabilities(part).gather(1, word[:, None])[:, 0]
        for part in (masks, around & ~masks & grid.inside)
    )
    in_region = grid.mean_probabilities(asked)[index].gather(1, word[:, None])[:, 0]
    size = (area / grid.inside.sum()).sqrt()
    columns = [
        candidates.raw.quality.float(),
        smaller / larger.clamp_min(1),
        own,
        ring,
        in_region,
        size,
        size.clamp_min(_LEAST).log(),
        of_region,
        of_region.clamp_min(_LEAST).log(),
        both / area.clamp_min(1),
    ]
    return torch.stack(columns, 1)


def thing_probabilities(known: Tensor) -> Tensor:
    """Return how probably each candidate is a thing of its word, (M,), from its features."""
    weights = torch.tensor(WEIGHTS, device=known.device)
    return (known @ weights[:-1] + weights[-1]).sigmoid()


def select_things(
    candidates: Candidates,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Return which candidates are things, the most probable first; and of all, (M,), the
    probability and the word's mean probability inside.
    """
    known = features(candidates)
    probability, own = thing_probabilities(known), known[:, FEATURES.index("inside")]
    flat, word = candidates.masks.flatten(1).float(), candidates.words
    area = flat.sum(1)
    common = flat @ flat.T
    iou = common / (area[:, None] + area[None] - common).clamp_min(1)
    held = (flat * (candidates.grid.labels.flatten()[None] == word[:, None])).sum(1)
    usable = (area > 0) & (held >= _OWN * area) & (probability >= _MIN_PROBABILITY)
    least = torch.minimum(area[:, None], area[None]).clamp_min(1)
    overlap = (iou >= _OVERLAP) | (common >= _CONTAINED * least)
    rival = (word[:, None] == word[None]) & overlap | (iou >= _SAME)
    values = torch.stack([probability, own.clamp(0, 1), usable.float()]).cpu().numpy()
    rivals: NDArray[np.bool_] = rival.cpu().numpy()
    alive, kept = values[2] > 0, []
    for i in np.argsort(-values[0], kind="stable").tolist():
        if alive[i]:
            kept.append(i)
            alive &= ~rivals[i]
    return np.array(kept, np.int64), values[0], values[1]


def spread_points(
    regions: Regions, count: int, *, inset: float, apart: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return up to ``count`` places spread over all regions, (P, 2), and the region of each, (P,).

    The poles of inaccessibility come first, of large regions before small ones. Then each place is
    the pixel of these regions that lies farthest from the places before in its own region
    (farthest point sampling, Eldar et al. 1997), as long as that is at least ``apart`` pixels.
    inset: pixels that further places lie from their region's outline at least.
    """
    rows, columns = np.nonzero(regions.number >= 0)
    which = regions.number[rows, columns]
    depth = regions.depth[rows, columns]
    by_region = np.lexsort((-depth, which))
    bounds = np.searchsorted(which[by_region], np.arange(len(regions) + 1))
    poles = by_region[bounds[:-1]]
    order = np.argsort(-regions.area, kind="stable")[:count]
    gap = np.where(np.isin(which, order) & (depth >= inset), np.inf, -1.0)
    chosen: list[int] = []

    def choose(place: int) -> None:
        chosen.append(place)
        own = by_region[bounds[which[place]] : bounds[which[place] + 1]]
        step = np.hypot(rows[own] - rows[place], columns[own] - columns[place])
        gap[own] = np.minimum(gap[own], step)

    for place in poles[order].tolist():
        choose(place)
    while chosen and len(chosen) < count and gap.max() >= apart:
        choose(int(gap.argmax()))
    places = np.array(chosen, np.intp)
    points_xy = np.stack([columns[places], rows[places]], 1).astype(np.int64)
    return points_xy, which[places].astype(np.int64)


def _without_other_regions(
    raw: RawMasks,
    grid: GridScores,
    class_ids: NDArray[np.int64],
    region: NDArray[np.int64],
    word_of_region: NDArray[np.int64],
) -> RawMasks:
    """The masks without what lies in further regions of their own word."""
    device = raw.logits.device
    # Region -1, which is none, reads the last word.
    words = torch.from_numpy(np.append(word_of_region, -1)).to(device)[grid.regions]
    mine = torch.from_numpy(region).to(device)[:, None, None] == grid.regions
    others = (torch.from_numpy(class_ids).to(device)[:, None, None] == words) & ~mine
    return replace(raw, logits=raw.logits.masked_fill(others, _OUTSIDE))
