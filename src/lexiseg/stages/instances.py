"""Things of one word told apart: a mask model is asked at several places of each region.

Of its masks the most probable things that do not overlap stay. What they leave over of a region
goes to the nearest of them, so that the instances of a word hold all that the label map gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg.masks import Masks, label_boxes
from lexiseg.protocols import DenseScores, Masker, MaskState
from lexiseg.stages.connected_parts import connected_parts
from lexiseg.stages.label_map import Labels
from lexiseg.stages.mask_upsampling import upsample_masks
from lexiseg.stages.painting import fill_nearest
from lexiseg.stages.thing_candidates import propose_things, select_things

__all__ = ["Instances", "no_instances", "separate_things"]

_SPECK = 0.05  # smaller parts of a mask, as a part of its largest one, are noise
_LEFT = 0.6  # what masks leave over of a region is a thing too if it is at least this part of it


@dataclass(frozen=True, eq=False)
class Instances:
    """N instances. class_ids: (N,) int64. scores: (N,) float32, the mean probability of the word
    inside. quality: (N,) float32, how probably each is a thing; of a region's part 0.5 at most.
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
    """Return the things of each word, by word, then by quality.

    labels, label_scores: (H, W), the word of each pixel, below 0 for none, and its probability;
    what excluded words have counts from ``num_words`` on, and is in no mask.
    scores: the map behind them, of which the first ``num_words`` classes are words.
    wanted: (K,) bool, the words whose things are wanted. uncountable: (K,) bool, the words that
    name what has no number, such as sky: each is one instance.
    max_prompts: places asked; the smallest regions go without. min_area: pixels of an instance.
    """
    countable = np.flatnonzero(wanted & ~uncountable)
    of_things = labels.copy()
    of_things[np.isin(labels, countable, invert=True)] = -1
    found = _masks_of_things(masker, state, of_things, scores, num_words, max_prompts, min_area)
    found = _without_other_things(found, labels, countable, min_area)
    things = _with_left_over(of_things, label_scores, num_words, found, min_area)
    whole = _one_each(labels, label_scores, np.flatnonzero(wanted & uncountable), min_area)
    found = Instances.concat([things, whole])
    return found[np.lexsort((-found.quality, found.class_ids))]


def _masks_of_things(
    masker: Masker,
    state: MaskState,
    labels: Labels,
    scores: DenseScores,
    num_words: int,
    max_prompts: int,
    min_area: int,
) -> Instances:
    """What the mask model draws in the regions of the words."""
    asked = propose_things(
        masker, state, labels, scores, num_words, max_prompts=max_prompts, min_area=min_area
    )
    if asked is None:
        return no_instances((labels.shape[0], labels.shape[1]))
    kept, probability, own = select_things(asked)
    full = _without_specks(upsample_masks(asked.raw[torch.from_numpy(kept).to(asked.words.device)]))
    large = np.flatnonzero(full.areas >= min_area)
    kept = kept[large]
    return Instances(full[large], asked.class_ids[kept], own[kept], probability[kept])


def _without_other_things(
    found: Instances, labels: Labels, things: NDArray[np.integer], min_area: int
) -> Instances:
    """The instances without what other words hold for certain.

    Those are the pixels that the map and a mask both give to another word, and all pixels of words
    that are not among ``things``, which no mask is drawn for. What the map alone gives to another
    word may be its mistake: half a cow that looks like a sheep.
    """
    held = (labels >= 0) & ~np.isin(labels, things)
    places = list(zip(found.masks.boxes_xyxy.tolist(), found.class_ids.tolist(), strict=True))
    for i, ((x0, y0, x1, y1), word) in enumerate(places):
        held[y0:y1, x0:x1] |= found.masks.crop(i) & (labels[y0:y1, x0:x1] == word)
    crops = []
    for i, ((x0, y0, x1, y1), word) in enumerate(places):
        others = held[y0:y1, x0:x1] & (labels[y0:y1, x0:x1] != word)
        crops.append(found.masks.crop(i) & ~others)
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
    if not (labels == word).any():
        return masks
    boxes = np.concatenate([masks.boxes_xyxy, label_boxes(labels, np.array([word]))])
    boxes = boxes[boxes[:, 2] > boxes[:, 0]]
    left, top = boxes[:, :2].min(0).tolist()
    right, bottom = boxes[:, 2:].max(0).tolist()
    mine = labels[top:bottom, left:right] == word
    if len(masks) == 1:
        crop = masks.mask(0)[top:bottom, left:right] | mine
        return Masks.from_crops(masks.size_hw, [(left, top)], [crop])
    number = np.full((bottom - top, right - left), -1, np.int32)
    for i, (x0, y0, x1, y1) in enumerate(masks.boxes_xyxy.tolist()):
        number[y0 - top : y1 - top, x0 - left : x1 - left][masks.crop(i)] = i
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
