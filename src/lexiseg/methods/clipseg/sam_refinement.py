"""Blocky maps made sharp by a mask model: boxes and peaks of their regions are its prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.methods._dense_segmenter import result_map, without_background

if TYPE_CHECKING:
    from lexiseg.methods._base import BaseSegmenter, StageTimer
    from lexiseg.methods.clipseg.config import Config
    from lexiseg.prompts import Vocabulary
    from lexiseg.protocols import DenseScores, Masker, MaskPrompts, View
    from lexiseg.results import Segmentation
    from lexiseg.stages.label_map import LabelMap, Labels
    from lexiseg.stages.mask_prompting import Regions, ScoredMasks

__all__ = ["segment_with_masks"]

_WORK = 512  # pixels of the longer side at which regions are found; the map is coarser
_POOLING, _TRUST, _RADIUS, _EPSILON = 0.3, 2.0, 3, 1e-4  # as clip-then-sam's


def segment_with_masks(
    segmenter: BaseSegmenter[Any],
    masker: Masker,
    view: View[Any],
    vocabulary: Vocabulary,
    scores: DenseScores,
    labelled: LabelMap,
    timer: StageTimer,
) -> Segmentation:
    """Return the result whose outlines are a mask model's.

    Each region of a word is prompted with its box and its peak. A mask that agrees with its region
    is weighed with the map, as clip-then-sam does; a region without one stays, and is an instance
    too, with quality 0.
    """
    from lexiseg.results import Segmentation
    from lexiseg.stages.connected_parts import connected_parts
    from lexiseg.stages.label_map import map_labels, mean_scores

    count, config = len(vocabulary.words), segmenter.config
    min_area = max(1, round(config.min_share * labelled.labels.size))
    with timer("instances"):
        labels, full, masks = _refine(
            masker, view.picture.rgb, labelled, scores, vocabulary, config, min_area
        )
        classes = np.arange(len(vocabulary.words) + len(vocabulary.excluded) + 1)
        labels = map_labels(labels, np.where(classes < count, classes, -1))
        score_map = result_map(scores, count)
        left = without_background(labels, vocabulary).copy()
        left[full.union()] = -1
        flat = np.ones(labels.shape, np.float16)
        others, class_ids, _ = connected_parts(left, flat, count, min_area=min_area)
        peaks = score_map.grid.max((1, 2)).astype(np.float32)[class_ids].clip(0, 1)
        big = np.flatnonzero((full.areas >= min_area) & (_ids(masks) < count))
        class_ids = np.concatenate([_ids(masks)[big], class_ids])
        none = np.zeros(0, np.float32)
        best = none if masks is None else masks.scores[big]
        quality = none if masks is None else masks.quality[big]
    return Segmentation(
        words=vocabulary.names,
        labels=np.array([vocabulary.names[i] for i in class_ids], dtype=np.str_),
        scores=np.concatenate([best, peaks]),
        quality=np.concatenate([quality, np.zeros(len(others), np.float32)]),
        masks=Masks.concat([full[big], others]),
        label_map=labels,
        word_scores=mean_scores(labels, labelled.scores, count),
        unknown=scores.unknown,
        score_map=score_map,
        provenance=segmenter.provenance(view, timer.seconds),
    )


def _ids(masks: ScoredMasks | None) -> NDArray[np.int64]:
    return np.zeros(0, np.int64) if masks is None else masks.class_ids


def _refine(
    masker: Masker,
    rgb: NDArray[np.uint8],
    labelled: LabelMap,
    scores: DenseScores,
    vocabulary: Vocabulary,
    config: Config,
    min_area: int,
) -> tuple[Labels, Masks, ScoredMasks | None]:
    """The label map with masks' outlines, (H, W), excluded words as their classes, -1 for none;
    the masks at the image's size, and what is known of them."""
    from lexiseg.stages.label_map import cut, map_labels, resize_labels
    from lexiseg.stages.map_fusion import (
        WordMap,
        fused_probabilities,
        label_fused,
        mask_grid_filter,
        rejected_regions,
        select_masks,
    )
    from lexiseg.stages.mask_prompting import PromptBatch, decode_prompts, find_regions, plan_points
    from lexiseg.stages.mask_upsampling import upsample_masks

    background = -1 if vocabulary.background_class is None else vocabulary.background_class
    classes = np.arange(vocabulary.num_classes + 1)
    unlabelled = (classes == background) | (classes == vocabulary.num_classes)
    words = map_labels(labelled.labels, np.where(unlabelled, -1, classes))
    whole = (words.shape[0], words.shape[1])
    scale = min(1.0, _WORK / max(whole))
    size_hw = (max(1, round(whole[0] * scale)), max(1, round(whole[1] * scale)))
    small = np.asarray(resize_labels(words, size_hw), np.int32)
    strength = resize_labels(labelled.scores, size_hw).astype(np.float32)
    word_map = WordMap(scores, vocabulary, small, strength)
    regions = find_regions(
        small, strength, word_map.num_words, threshold=0.0,
        min_area=max(1, round(min_area * scale**2)),
    )  # fmt: skip
    points = plan_points(regions, strength, points=1, negatives=0, peak=True)
    prompts = PromptBatch(
        _prompts(regions, points.points_xy, points.region, whole),
        regions.word[points.region],
        points.region,
    )
    selection = None
    if len(regions):
        batches = decode_prompts(masker, masker.encode(rgb), prompts)
        selection = select_masks(
            batches, word_map, regions, min_agreement=config.min_agreement, min_quality=0.0
        )
    if selection is None or not len(selection.masks):
        return words, Masks.empty(whole), None
    masks, grid = selection.masks, selection.grid
    answered = np.isin(np.arange(len(regions)), masks.regions)
    fused = fused_probabilities(
        selection.competing, selection.votes, masks, rejected_regions(grid, regions, answered),
        pooling=_POOLING, trust=_TRUST,
    )  # fmt: skip
    guide = mask_grid_filter(rgb, grid.frame, (fused.shape[1], fused.shape[2]), _RADIUS, _EPSILON)
    labels = label_fused(fused, selection.competing, guide)
    return labels, cut(upsample_masks(masks.raw), labels, masks.class_ids), masks


def _prompts(
    regions: Regions, points_xy: NDArray[np.int64], which: NDArray[np.int64], shape: tuple[int, int]
) -> MaskPrompts:
    """A point and a box for each region, in pixels of the image."""
    import torch

    from lexiseg.masks.masks import label_boxes
    from lexiseg.protocols import MaskPrompts

    height, width = regions.number.shape
    scale = np.array([shape[1] / width, shape[0] / height], np.float32)
    boxes = label_boxes(regions.number, np.arange(len(regions)))[which]
    return MaskPrompts(
        torch.from_numpy(((points_xy + 0.5) * scale)[:, None].astype(np.float32)),
        torch.ones(len(which), 1, dtype=torch.int64),
        torch.from_numpy((boxes * np.concatenate([scale, scale])).astype(np.float32)),
    )
