"""The seven steps of clip-then-sam, in their order; ``Segmenter.segment`` calls one after another.

map_words -> find_regions -> plan_prompts -> decode_candidates -> select_masks
-> fuse_with_map -> make_instances
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.methods.clip_then_sam.config import Config
from lexiseg.prompts import Clicks, Vocabulary
from lexiseg.protocols import DenseScores, Masker, MaskState, RawMasks
from lexiseg.results import ScoreMap
from lexiseg.stages import map_fusion, mask_prompting
from lexiseg.stages.label_map import (
    GuidedFilter,
    Labels,
    cut,
    guided_radius,
    label_map,
    winning_labels,
)
from lexiseg.stages.map_fusion import (
    NestedRule,
    Selection,
    WordMap,
    fused_probabilities,
    label_fused,
    mask_grid_filter,
    rejected_regions,
)
from lexiseg.stages.mask_prompting import (
    CandidateBatch,
    PromptBatch,
    Regions,
    ScoredMasks,
    decode_prompts,
    point_prompts,
)
from lexiseg.stages.mask_selection import GridScores, contain_points, grid_iou, mask_nms
from lexiseg.stages.mask_upsampling import upsample_masks

__all__ = [
    "Found", "apply_thresholds", "decode_candidates", "find_regions", "fuse_with_map",
    "make_instances", "map_words", "outline_filter", "plan_prompts", "select_masks",
]  # fmt: skip

_APART = 1 / 18  # of the shorter side: points of a region that are nearer get the same masks
_WORK = 1024  # pixels of the longer side at which regions are found; the map itself is coarser


@dataclass(frozen=True, eq=False)
class Found:
    """Instances: masks at the image's size, and the word, score and quality of each, (N,)."""

    masks: Masks
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    quality: NDArray[np.float32]


def map_words(scores: DenseScores, vocabulary: Vocabulary) -> WordMap:
    """Step 1. Say which word wins where: excluded words too, so that they hold what is theirs."""
    size_hw = scores.size_hw
    scale = min(1.0, _WORK / max(size_hw))
    height, width = (max(1, round(side * scale)) for side in size_hw)
    blank = np.broadcast_to(np.uint8(0), (height, width, 3))  # enlarged without a guide
    classes = np.arange(vocabulary.num_classes)
    if vocabulary.background_class is not None:
        classes[vocabulary.background_class] = -1
    winners = label_map(
        scores.probabilities,
        GuidedFilter(blank, scores.input_hw, scores.cell, 0, 1.0),
        values=classes,
    )
    return WordMap(scores, vocabulary, winners.labels, winners.scores.astype(np.float32))


def find_regions(word_map: WordMap, config: Config) -> Regions:
    """Step 2. Find connected regions whose word scores enough, at working size.

    Only of words that this map decides: a mask of a person says nothing of the face in it.
    """
    labels, decided = word_map.labels, word_map.scores.decided
    if decided is not None:
        labels = np.where(np.isin(labels, decided), labels, -1)
    height, width = word_map.scores.size_hw
    shrunk = word_map.labels.size / (height * width)
    return mask_prompting.find_regions(
        labels,
        word_map.probabilities,
        word_map.num_words,
        threshold=config.region_threshold,
        min_area=max(1, round(config.min_region_area * shrunk)),
    )


def plan_prompts(
    regions: Regions, word_map: WordMap, clicks: Clicks, config: Config
) -> PromptBatch:
    """Step 3. Choose points in the regions, in pixels of the image.

    A user's "not this" counts for the region that it is in.
    """
    size_hw = word_map.scores.size_hw
    points = mask_prompting.plan_points(
        regions,
        word_map.probabilities,
        points=config.points_per_region,
        negatives=config.negative_points,
        peak=config.point == "peak",
        side=config.points_per_side,
        apart=_APART * min(word_map.labels.shape),
    )
    scale = np.array(size_hw[::-1]) / np.array(word_map.labels.shape[::-1])
    negatives, there = (points.negatives_xy + 0.5) * scale, points.negatives
    if clicks.not_points_xy:
        clicked = _region_of(regions, clicks.not_points_xy, size_hw)
        wrong = np.array(clicks.not_points_xy)[None] + 0.5
        negatives = np.concatenate([negatives, np.repeat(wrong, len(points), 0)], 1)
        there = np.concatenate([there, points.region[:, None] == clicked[None]], 1)
    prompts = point_prompts((points.points_xy + 0.5) * scale, negatives, there)
    return PromptBatch(prompts, regions.word[points.region], points.region)


def decode_candidates(
    masker: Masker, state: MaskState, prompts: PromptBatch
) -> Iterator[CandidateBatch]:
    """Step 4. Yield three candidate masks for each prompt, batch by batch."""
    return decode_prompts(masker, state, prompts)


def select_masks(
    batches: Iterable[CandidateBatch],
    clicked: RawMasks | None,
    masker: Masker,
    regions: Regions,
    word_map: WordMap,
    config: Config,
) -> Selection | None:
    """Step 5. Keep the best candidate of each prompt; count what all of them say of the map.

    clicked: masks that a user pointed at, kept whatever the map says. None: there was no prompt.
    """
    nested = None
    if config.nested:
        min_quality = max(config.min_quality, masker.min_quality)
        nested = NestedRule(min_quality, masker.min_stability, config.iou_threshold)
    return map_fusion.select_masks(
        batches,
        word_map,
        regions,
        clicked=clicked,
        min_agreement=config.min_agreement,
        min_quality=config.min_quality,
        nested=nested,
    )


def fuse_with_map(
    selection: Selection | None,
    regions: Regions,
    word_map: WordMap,
    guide: GuidedFilter,
    clicks: Clicks,
    config: Config,
    only: Collection[int] | None = None,
) -> tuple[Labels, ScoredMasks | None]:
    """Step 6. Weigh the map and the masks, and label every pixel along the image's outlines.

    guide: see ``outline_filter``. only: words that are wanted; see ``winning_labels``.
    Returns the label map, (H, W) with excluded words as their classes and -1 for none, and the
    masks without duplicates.
    """
    if selection is None:
        return _label_map_alone(word_map, guide, only), None
    grid = selection.grid
    masks = selection.masks[_without_duplicates(selection.masks, clicks, config)]
    covered = _coverage(masks, grid, regions) >= config.coverage
    dropped = _region_of(regions, clicks.not_points_xy, word_map.scores.size_hw)
    fused = fused_probabilities(
        selection.competing,
        selection.votes,
        masks,
        rejected_regions(grid, regions, covered, dropped[dropped >= 0]),
        pooling=config.pooling,
        trust=config.trust,
    )
    return label_fused(fused, selection.competing, guide, only), masks


def outline_filter(
    selection: Selection | None, word_map: WordMap, rgb: NDArray[np.uint8], config: Config
) -> GuidedFilter:
    """Return what brings the map of step 6 to the image's size: masks' grid, or the words' own."""
    if selection is not None:
        grid_hw = (selection.grid.regions.shape[0], selection.grid.regions.shape[1])
        return mask_grid_filter(
            rgb, selection.grid.frame, grid_hw, config.refine_radius, config.refine_epsilon
        )
    scores, radius = word_map.scores, guided_radius(None, word_map.scores.cell)
    if config.refine_radius is not None:
        radius = min(radius, config.refine_radius)
    return GuidedFilter(rgb, scores.input_hw, scores.cell, radius, config.refine_epsilon)


def make_instances(
    labels: Labels,
    masks: ScoredMasks | None,
    selection: Selection | None,
    clicks: Clicks,
    config: Config,
) -> Found:
    """Step 7. Bring the masks to the image's size: each as far as its word has the pixels.

    Nested ones stay whole.
    """
    nested = None if selection is None else selection.nested
    if nested is not None:
        nested = nested[_without_duplicates(nested, clicks, config)]
    chosen = masks if nested is None else nested
    if chosen is None:
        none = np.zeros(0, np.float32)
        return Found(
            Masks.empty((labels.shape[0], labels.shape[1])), np.zeros(0, np.int64), none, none
        )
    full = upsample_masks(chosen.raw)
    if nested is None:
        full = cut(full, labels, chosen.class_ids)
    return Found(full, chosen.class_ids, chosen.scores, chosen.quality)


def apply_thresholds(
    labels: Labels,
    scores: ScoreMap,
    limits: NDArray[np.floating],
    sure: Masks,
) -> Labels:
    """Return a label map without the pixels that score less than their word's limit, (K,).

    Pixels under ``sure`` masks keep theirs.
    """
    if not limits.any():
        return labels
    labels, safe = labels.copy(), sure.union()
    for word in np.flatnonzero(limits).tolist():
        weak = scores.full(word) < limits[word]
        labels[weak & (labels == word) & ~safe] = -1
    return labels


def _label_map_alone(
    word_map: WordMap, guide: GuidedFilter, only: Collection[int] | None
) -> Labels:
    """The label map where no mask was asked for."""
    vocabulary = word_map.vocabulary
    classes = np.arange(vocabulary.num_classes)
    if vocabulary.background_class is not None and vocabulary.background_index is None:
        classes[vocabulary.background_class] = -1
    return winning_labels(word_map.scores.probabilities, guide, values=classes, only=only)


def _region_of(
    regions: Regions, points_xy: tuple[tuple[float, float], ...], size_hw: tuple[int, int]
) -> NDArray[np.int64]:
    """The region that each point of the image lies in, (P,), -2 for none."""
    h, w = regions.number.shape
    found = [
        int(regions.number[int(y * h / size_hw[0]), int(x * w / size_hw[1])]) for x, y in points_xy
    ]
    return np.array([number if number >= 0 else -2 for number in found], np.int64)


def _without_duplicates(masks: ScoredMasks, clicks: Clicks, config: Config) -> NDArray[np.int64]:
    """Which masks stay: none that holds a "not this", none twice, the clicked ones first."""
    rank = masks.scores * masks.quality + masks.clicked
    alive = np.ones(len(masks), np.bool_)
    if clicks.not_points_xy:
        alive &= ~contain_points(masks.raw, clicks.not_points_xy).any(1)
    if clicks.points_xy:
        # A click on a thing replaces what was found there of the same word.
        held = contain_points(masks.raw, clicks.points_xy)
        clicked = np.flatnonzero(masks.clicked)
        for place, which in enumerate(clicked[: len(clicks.points_xy)]):
            same = (masks.class_ids == masks.class_ids[which]) & held[:, place]
            alive &= masks.clicked | ~same
    kept = np.flatnonzero(alive)
    iou = grid_iou(masks.raw.logits)[np.ix_(kept, kept)]
    first = mask_nms(iou, masks.class_ids[kept], rank[kept], config.iou_threshold)
    kept, iou = kept[first], iou[np.ix_(first, first)]
    # The same mask for two words: the one that scores better.
    score = masks.scores[kept] + masks.clicked[kept]
    return kept[mask_nms(iou, np.zeros(len(kept), np.int64), score, config.iou_threshold)]


def _coverage(masks: ScoredMasks, grid: GridScores, regions: Regions) -> NDArray[np.float64]:
    """The part of each region that masks of its own word cover, (R,) in [0, 1]."""
    region = grid.regions.cpu().numpy()
    drawn = np.zeros(region.shape, np.bool_)
    if len(masks):
        inside = (masks.raw.logits > 0).cpu().numpy()
        for word in np.unique(masks.class_ids).tolist():
            mine = np.append(regions.word == word, False)[region]  # -1 reads the last one
            drawn |= inside[masks.class_ids == word].any(0) & mine
    cells = np.bincount(region[region >= 0], minlength=len(regions))
    hit = np.bincount(region[drawn], minlength=len(regions))
    out: NDArray[np.float64] = hit / np.maximum(cells, 1)
    return out
