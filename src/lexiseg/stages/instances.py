"""Things of one word told apart: a mask model is asked at several places of each region.

Every candidate mask gets an expected IoU with a thing of its word: from the mask model's own
rating, from how many of the places inside it give it back, and from what the map says of it. The
best ones that do not overlap are the things; what they leave over of a region stays an instance of
its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.protocols import DenseScores, Masker, MaskState, RawMasks
from lexiseg.stages.label_map import Labels, connected_parts, resize_labels
from lexiseg.stages.mask_prompting import CANDIDATES, find_regions, plan_points, point_prompts
from lexiseg.stages.mask_selection import GridScores, score_grid
from lexiseg.stages.mask_upsampling import upsample_masks

__all__ = ["Instances", "no_instances", "separate_things"]

_WORK = 1024  # pixels of the longer side at which regions are found; the map itself is coarser
_AGREE = 0.7  # IoU from which on two masks are the same answer
# The expected IoU of a candidate, fitted by ridge regression on the candidates of training photos
# of COCO that were kept out of training, and of others: rating, votes, the word's mean probability,
# the square root of the share of the picture, the IoU with the region, and a constant.
_WEIGHTS = (0.20, 0.05, 0.25, 0.23, 0.51, -0.21)
_MIN_EXPECTED = 0.3
_OWN = 0.5  # the part of a mask that its word must hold
_OVERLAP, _CONTAINED = 0.5, 0.7  # IoU, and part of the smaller mask: more is the same thing
_SAME = 0.8  # IoU from which on masks of two words are one thing
_SPECK = 0.05  # smaller parts of a mask, as a part of its largest one, are noise
_OUTSIDE = -10.0  # the logit of what a mask leaves out
_LEFT = 0.25  # what masks leave over of a region is a thing too if it is at least this part of it


@dataclass(frozen=True, eq=False)
class Instances:
    """N instances. class_ids: (N,) int64. scores: (N,) float32, the mean probability of the word
    inside. quality: (N,) float32, the expected IoU with a thing; of a region's part 0.5 at most.
    """

    masks: Masks
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    quality: NDArray[np.float32]


def no_instances(
    labels: Labels, label_scores: NDArray[np.float16], scores: DenseScores
) -> Instances:
    """Return none, whatever the label map holds."""
    none = np.zeros(0, np.float32)
    size_hw = (labels.shape[0], labels.shape[1])
    return Instances(Masks.empty(size_hw), np.zeros(0, np.int64), none, none)


def separate_things(
    masker: Masker,
    state: MaskState,
    labels: Labels,
    label_scores: NDArray[np.float16],
    scores: DenseScores,
    num_words: int,
    *,
    uncountable: NDArray[np.bool_],
    points: int,
    max_prompts: int,
    min_area: int,
) -> Instances:
    """Return the things of each word, by word, then by expected IoU.

    labels, label_scores: (H, W), the word of each pixel, below 0 for none, and its probability;
    what excluded words have counts from ``num_words`` on. Masks leave out pixels of other words.
    scores: the map behind them, of which the first ``num_words`` classes are words.
    uncountable: (K,) bool, the words that name what has no number, such as sky: each is one
    instance.
    points: places asked a region, at most. max_prompts: in all; small regions go without.
    min_area: pixels of an instance.
    """
    of_things = labels.copy()
    of_things[np.isin(labels, np.flatnonzero(~uncountable), invert=True)] = -1
    found = _masks_of_things(
        masker, state, of_things, label_scores, scores, num_words, points, max_prompts, min_area
    )
    found = _without_other_words(found, labels, min_area)
    parts = _left_over(of_things, label_scores, num_words, found, min_area)
    whole = _one_each(labels, label_scores, np.flatnonzero(uncountable), min_area)
    each = [found, parts, whole]
    class_ids = np.concatenate([one.class_ids for one in each])
    quality = np.concatenate([one.quality for one in each])
    order = np.lexsort((-quality, class_ids))
    return Instances(
        Masks.concat([one.masks for one in each])[order],
        class_ids[order],
        np.concatenate([one.scores for one in each])[order],
        quality[order],
    )


def _masks_of_things(
    masker: Masker,
    state: MaskState,
    labels: Labels,
    label_scores: NDArray[np.float16],
    scores: DenseScores,
    num_words: int,
    points: int,
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
    planned = plan_points(regions, small_scores, points=points)
    # By turns: the first point of every region, then the second ones; of large regions first.
    turn = np.arange(len(planned)) - np.searchsorted(planned.region, planned.region)
    order = np.lexsort((-regions.area[planned.region], turn))[:max_prompts]
    region = planned.region[order]
    if not len(order):
        return no_instances(labels, label_scores, scores)
    places = (planned.points_xy[order] + 0.5) / scale
    nowhere = np.zeros((len(places), 0))
    prompts = point_prompts(places, nowhere[..., None].repeat(2, 2), nowhere.astype(np.bool_))
    raw = masker.decode(state, prompts, candidates=CANDIDATES)
    class_ids = np.repeat(regions.word[region], CANDIDATES)
    grid_hw = (raw.logits.shape[1], raw.logits.shape[2])
    grid = score_grid(scores, num_words, small, regions, raw.frame, grid_hw)
    region = np.repeat(region, CANDIDATES)
    raw = _without_other_regions(raw, grid, class_ids, region, regions.word)
    kept, expected, own = _select(raw, grid, class_ids, region, places)
    rows = torch.from_numpy(kept).to(raw.logits.device)
    full = _without_specks(upsample_masks(raw[rows]))
    large = np.flatnonzero(full.areas >= min_area)
    return Instances(full[large], class_ids[kept][large], own[kept][large], expected[kept][large])


def _select(
    raw: RawMasks,
    grid: GridScores,
    class_ids: NDArray[np.int64],
    region: NDArray[np.int64],
    places: NDArray[np.floating],
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
    # Of the places inside a mask with its word, the part whose own candidates have it too.
    asked = _cells(places, raw).to(device)
    inside = (flat[:, asked] > 0) & same_word[:, ::CANDIDATES]
    again = ((iou >= _AGREE) & same_word).view(len(flat), -1, CANDIDATES).any(2)
    votes = (again & inside).sum(1) / inside.sum(1).clamp_min(1)
    held = (flat * (grid.labels.flatten()[None] == word[:, None])).sum(1) / area.clamp_min(1)
    in_region = grid.regions.flatten()[None] == torch.from_numpy(region).to(device)[:, None]
    both = (flat * in_region).sum(1)
    of_region = both / (area + in_region.sum(1) - both).clamp_min(1)
    own = grid.mean_probabilities(masks).gather(1, word[:, None])[:, 0]
    share = (area / grid.inside.sum()).sqrt()
    features = [raw.quality.float(), votes, own, share, of_region, torch.ones_like(own)]
    weights = torch.tensor(_WEIGHTS, device=device)
    expected = (torch.stack(features, 1) @ weights).clamp(0, 1)
    usable = (area > 0) & (held >= _OWN) & (expected >= _MIN_EXPECTED)
    smaller = torch.minimum(area[:, None], area[None]).clamp_min(1)
    rival = same_word & ((iou >= _OVERLAP) | (common >= _CONTAINED * smaller)) | (iou >= _SAME)
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
    kept = np.flatnonzero(masks.areas >= min_area)
    return Instances(masks[kept], found.class_ids[kept], found.scores[kept], found.quality[kept])


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


def _cells(places: NDArray[np.floating], raw: RawMasks) -> Tensor:
    """The cell of a mask grid, counted by rows, that each place of the picture lies in, (P,)."""
    frame, grid_hw = raw.frame, raw.logits.shape[1:]
    rows, columns = (
        np.minimum(
            places[:, 1 - axis]
            / frame.size_hw[axis]
            * (frame.input_hw[axis] / frame.padded_hw[axis] * grid_hw[axis]),
            grid_hw[axis] - 1,
        ).astype(np.int64)
        for axis in (0, 1)
    )
    return torch.from_numpy(rows * grid_hw[1] + columns)


def _left_over(
    labels: Labels,
    label_scores: NDArray[np.float16],
    num_words: int,
    found: Instances,
    min_area: int,
) -> Instances:
    """The parts of regions that no mask of their word covers, where they are large enough."""
    left = labels.copy()
    for i, ((x0, y0, x1, y1), word) in enumerate(
        zip(found.masks.boxes_xyxy.tolist(), found.class_ids.tolist(), strict=True)
    ):
        part = left[y0:y1, x0:x1]
        part[found.masks.crop(i) & (part == word)] = -1
    whole, _, _ = connected_parts(labels, label_scores, num_words, min_area=min_area)
    parts, class_ids, means = connected_parts(left, label_scores, num_words, min_area=min_area)
    # A part lies in one region: its IoU with that one is its share of it, and 0 with the others.
    share = parts.iou(whole).max(1, initial=0)
    kept = np.flatnonzero(share >= _LEFT)
    quality = (0.5 * share[kept]).astype(np.float32)
    return Instances(parts[kept], class_ids[kept], means[kept], quality)


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
