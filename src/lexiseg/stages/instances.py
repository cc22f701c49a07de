"""Things of one word told apart: a mask model is asked at several places of each region.

Every candidate mask gets an expected IoU with a thing of its word: from the mask model's own
rating, from how stable it is, and from what the map says inside it and around it. The best ones
that do not overlap are the things. What they leave over of a region goes to the nearest of them, so
that the instances of a word hold all that the label map gives to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lexiseg.masks import Masks, label_boxes
from lexiseg.protocols import DenseScores, Masker, MaskState, RawMasks
from lexiseg.stages.connected_parts import connected_parts
from lexiseg.stages.label_map import Labels, resize_labels
from lexiseg.stages.mask_prompting import (
    CANDIDATES,
    Regions,
    find_regions,
    point_prompts,
)
from lexiseg.stages.mask_selection import GridScores, score_grid
from lexiseg.stages.mask_upsampling import upsample_masks
from lexiseg.stages.painting import fill_nearest

__all__ = ["Instances", "no_instances", "separate_things", "spread_points"]

_WORK = 256  # pixels of the longer side at which regions are found; mask grids are coarser
_INSET, _APART = 5.0, 5.0  # of them: from outlines to places that are asked, and between these
_RING = 2  # cells around a mask in which its word should not be
# The expected IoU of a candidate with a thing of its word: the mask model's rating, stability (as
# of SAM), the word's mean probability inside and in the ring around, the square root of the share
# of the picture, the IoU with the region, the part that lies in the region, and a constant. Fitted
# by ridge regression on 37,512 candidates of 402 training photos of COCO, on which the limits below
# were chosen too.
_WEIGHTS = (0.18, 0.09, 0.39, -0.11, 0.15, 0.53, -0.15, -0.15)
_MIN_EXPECTED = 0.25
_OWN = 0.4  # the part of a mask that its word must hold
_OVERLAP, _CONTAINED = 0.3, 0.5  # IoU, and part of the smaller mask: more is the same thing
_SAME = 0.8  # IoU from which on masks of two words are one thing
_SPECK = 0.05  # smaller parts of a mask, as a part of its largest one, are noise
_OUTSIDE = -10.0  # the logit of what a mask leaves out
_LEFT = 0.6  # what masks leave over of a region is a thing too if it is at least this part of it


@dataclass(frozen=True, eq=False)
class Instances:
    """N instances. class_ids: (N,) int64. scores: (N,) float32, the mean probability of the word
    inside. quality: (N,) float32, the expected IoU with a thing; of a region's part 0.5 at most.
    """

    masks: Masks
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    quality: NDArray[np.float32]

    def __getitem__(self, rows: NDArray[np.intp]) -> Instances:
        return Instances(
            self.masks[rows], self.class_ids[rows], self.scores[rows], self.quality[rows]
        )

    @classmethod
    def concat(cls, parts: Sequence[Instances]) -> Instances:
        """Return the instances of one or more parts, in order."""
        return cls(
            Masks.concat([part.masks for part in parts]),
            np.concatenate([part.class_ids for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.quality for part in parts]),
        )


def no_instances(size_hw: tuple[int, int]) -> Instances:
    """Return none."""
    none = np.zeros(0, np.float32)
    return Instances(Masks.empty(size_hw), np.zeros(0, np.int64), none, none)


def separate_things(
    masker: Masker,
    state: MaskState,
    labels: Labels,
    label_scores: NDArray[np.float16],
    scores: DenseScores,
    num_words: int,
    *,
    wanted: NDArray[np.bool_],
    uncountable: NDArray[np.bool_],
    max_prompts: int,
    min_area: int,
) -> Instances:
    """Return the things of each word, by word, then by expected IoU.

    labels, label_scores: (H, W), the word of each pixel, below 0 for none, and its probability;
    what excluded words have counts from ``num_words`` on. Masks leave out pixels of other words.
    scores: the map behind them, of which the first ``num_words`` classes are words.
    wanted: (K,) bool, the words whose things are wanted. uncountable: (K,) bool, the words that
    name what has no number, such as sky: each is one instance.
    max_prompts: places asked; the smallest regions go without. min_area: pixels of an instance.
    """
    of_things = labels.copy()
    of_things[np.isin(labels, np.flatnonzero(wanted & ~uncountable), invert=True)] = -1
    found = _masks_of_things(
        masker, state, of_things, label_scores, scores, num_words, max_prompts, min_area
    )
    found = _without_other_words(found, labels, min_area)
    things = _with_left_over(of_things, label_scores, num_words, found, min_area)
    whole = _one_each(labels, label_scores, np.flatnonzero(wanted & uncountable), min_area)
    found = Instances.concat([things, whole])
    return found[np.lexsort((-found.quality, found.class_ids))]


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


def _masks_of_things(
    masker: Masker,
    state: MaskState,
    labels: Labels,
    label_scores: NDArray[np.float16],
    scores: DenseScores,
    num_words: int,
    max_prompts: int,
    min_area: int,
) -> Instances:
    """What the mask model draws in the regions of the words."""
    size_hw = (labels.shape[0], labels.shape[1])
    scale = min(1.0, _WORK / max(size_hw))
    work_hw = (max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale)))
    small = cast(Labels, resize_labels(labels, work_hw))
    small_scores = resize_labels(label_scores, work_hw)
    smallest = max(1, round(min_area * scale * scale))
    regions = find_regions(small, small_scores, num_words, threshold=0.0, min_area=smallest)
    points_xy, region = spread_points(regions, max_prompts, inset=_INSET, apart=_APART)
    if not len(region):
        return no_instances(size_hw)
    places = (points_xy + 0.5) / scale
    nowhere = np.zeros((len(places), 0))
    prompts = point_prompts(places, nowhere[..., None].repeat(2, 2), nowhere.astype(np.bool_))
    raw = masker.decode(state, prompts, candidates=CANDIDATES)
    class_ids = np.repeat(regions.word[region], CANDIDATES)
    grid_hw = (raw.logits.shape[1], raw.logits.shape[2])
    grid = score_grid(scores, num_words, small, regions, raw.frame, grid_hw)
    region = np.repeat(region, CANDIDATES)
    raw = _without_other_regions(raw, grid, class_ids, region, regions.word)
    kept, expected, own = _select(raw, grid, class_ids, region)
    rows = torch.from_numpy(kept).to(raw.logits.device)
    full = _without_specks(upsample_masks(raw[rows]))
    large = np.flatnonzero(full.areas >= min_area)
    return Instances(full[large], class_ids[kept][large], own[kept][large], expected[kept][large])


def _select(
    raw: RawMasks,
    grid: GridScores,
    class_ids: NDArray[np.int64],
    region: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Which candidates are things, best first; the expected IoU and the word's mean probability of
    all, (M,)."""
    masks = (raw.logits > 0) & grid.inside
    flat = masks.flatten(1).float()
    device = flat.device
    area = flat.sum(1)
    common = flat @ flat.T
    iou = common / (area[:, None] + area[None] - common).clamp_min(1)
    word = torch.from_numpy(class_ids).to(device)
    same_word = word[:, None] == word[None]
    held = (flat * (grid.labels.flatten()[None] == word[:, None])).sum(1) / area.clamp_min(1)
    in_region = grid.regions.flatten()[None] == torch.from_numpy(region).to(device)[:, None]
    both = (flat * in_region).sum(1)
    of_region = both / (area + in_region.sum(1) - both).clamp_min(1)
    larger, smaller = ((raw.logits > at).flatten(1).sum(1) for at in (-1, 1))
    around = F.max_pool2d(flat.view_as(raw.logits)[:, None], 2 * _RING + 1, 1, _RING)[:, 0] > 0
    own, ring = (
        grid.mean_probabilities(part).gather(1, word[:, None])[:, 0]
        for part in (masks, around & ~masks & grid.inside)
    )
    features = [
        raw.quality.float(),
        smaller / larger.clamp_min(1),
        own,
        ring,
        (area / grid.inside.sum()).sqrt(),
        of_region,
        both / area.clamp_min(1),
        torch.ones_like(own),
    ]
    weights = torch.tensor(_WEIGHTS, device=device)
    expected = (torch.stack(features, 1) @ weights).clamp(0, 1)
    usable = (area > 0) & (held >= _OWN) & (expected >= _MIN_EXPECTED)
    least = torch.minimum(area[:, None], area[None]).clamp_min(1)
    rival = same_word & ((iou >= _OVERLAP) | (common >= _CONTAINED * least)) | (iou >= _SAME)
    values = torch.stack([expected, own.clamp(0, 1), usable.float()]).cpu().numpy()
    rivals: NDArray[np.bool_] = rival.cpu().numpy()
    alive, kept = values[2] > 0, []
    for i in np.argsort(-values[0], kind="stable").tolist():
        if alive[i]:
            kept.append(i)
            alive &= ~rivals[i]
    return np.array(kept, np.int64), values[0], values[1]


def _without_other_regions(
    raw: RawMasks,
    grid: GridScores,
    class_ids: NDArray[np.int64],
    region: NDArray[np.int64],
    word_of_region: NDArray[np.int64],
) -> RawMasks:
    """The masks without what lies in further regions of their own word: that is another thing."""
    device = raw.logits.device
    # Region -1, which is none, reads the last word.
    words = torch.from_numpy(np.append(word_of_region, -1)).to(device)[grid.regions]
    mine = torch.from_numpy(region).to(device)[:, None, None] == grid.regions
    others = (torch.from_numpy(class_ids).to(device)[:, None, None] == words) & ~mine
    return replace(raw, logits=raw.logits.masked_fill(others, _OUTSIDE))


def _without_other_words(found: Instances, labels: Labels, min_area: int) -> Instances:
    """The instances without the pixels of other words than their own."""
    crops = []
    boxes = found.masks.boxes_xyxy.tolist()
    for i, ((x0, y0, x1, y1), word) in enumerate(zip(boxes, found.class_ids.tolist(), strict=True)):
        there = labels[y0:y1, x0:x1]
        crops.append(found.masks.crop(i) & ((there < 0) | (there == word)))
    masks = Masks.from_crops(found.masks.size_hw, found.masks.boxes_xyxy[:, :2], crops)
    return replace(found, masks=masks)[np.flatnonzero(masks.areas >= min_area)]


def _without_specks(masks: Masks) -> Masks:
    """The masks without connected parts much smaller than their largest one."""
    import cv2

    crops = []
    for crop in masks.crops:
        _, parts, stats, _ = cv2.connectedComponentsWithStats(crop.view(np.uint8), connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
        areas[0] = 0
        crops.append((areas >= max(1.0, _SPECK * areas.max()))[parts])
    return Masks.from_crops(masks.size_hw, masks.boxes_xyxy[:, :2], crops)


def _with_left_over(
    labels: Labels,
    label_scores: NDArray[np.float16],
    num_words: int,
    found: Instances,
    min_area: int,
) -> Instances:
    """The instances with what they leave over of their words' regions, so that no pixel is lost.

    A part that is most of its region, or all of it, is an instance of its own; the pixels of a
    smaller one go to the nearest mask of their word.
    """
    found = found[np.argsort(found.class_ids, kind="stable")]
    left = labels.copy()
    boxes = found.masks.boxes_xyxy.tolist()
    for i, ((x0, y0, x1, y1), word) in enumerate(zip(boxes, found.class_ids.tolist(), strict=True)):
        part = left[y0:y1, x0:x1]
        part[found.masks.crop(i) & (part == word)] = -1
    whole, _, _ = connected_parts(labels, label_scores, num_words, min_area=min_area)
    parts, class_ids, means = connected_parts(left, label_scores, num_words, min_area=min_area)
    # A part lies in one region: its IoU with that one is its share of it, and 0 with the others.
    share = parts.iou(whole).max(1, initial=0)
    own = np.flatnonzero(share >= _LEFT)
    left[parts[own].union() | ~whole.union()] = -1  # specks are no part of anything
    grown = [
        _with_nearest(left, found.masks[np.flatnonzero(found.class_ids == word)], int(word))
        for word in np.unique(found.class_ids)
    ]
    half = (0.5 * share[own]).astype(np.float32)
    found = replace(found, masks=Masks.concat(grown) if grown else found.masks)
    return Instances.concat([found, Instances(parts[own], class_ids[own], means[own], half)])


def _with_nearest(labels: Labels, masks: Masks, word: int) -> Masks:
    """The masks, each with the pixels of a word that lie nearest to it."""
    boxes = np.concatenate([masks.boxes_xyxy, label_boxes(labels, np.array([word]))])
    boxes = boxes[boxes[:, 2] > boxes[:, 0]]
    left, top = boxes[:, :2].min(0).tolist()
    right, bottom = boxes[:, 2:].max(0).tolist()
    number = np.full((bottom - top, right - left), -1, np.int32)
    for i, (x0, y0, x1, y1) in enumerate(masks.boxes_xyxy.tolist()):
        number[y0 - top : y1 - top, x0 - left : x1 - left][masks.crop(i)] = i
    mine = labels[top:bottom, left:right] == word
    nearest = np.where(mine, fill_nearest(number), -1)
    crops = [masks.mask(i)[top:bottom, left:right] | (nearest == i) for i in range(len(masks))]
    return Masks.from_crops(masks.size_hw, [(left, top)] * len(crops), crops)


def _one_each(
    labels: Labels, label_scores: NDArray[np.float16], words: NDArray[np.intp], min_area: int
) -> Instances:
    """All pixels of each of the words as one instance."""
    masks = Masks.from_labels(labels, words)
    kept = np.flatnonzero(masks.areas >= min_area)
    masks, boxes = masks[kept], masks.boxes_xyxy[kept].tolist()
    means = [
        float(label_scores[y0:y1, x0:x1][masks.crop(i)].mean(dtype=np.float64))
        for i, (x0, y0, x1, y1) in enumerate(boxes)
    ]
    half = np.full(len(kept), 0.5, np.float32)
    return Instances(masks, words[kept].astype(np.int64), np.array(means, np.float32), half)
