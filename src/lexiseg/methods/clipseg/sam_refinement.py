"""Blocky maps made sharp by a mask model: boxes and peaks of their regions are what it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lexiseg.masks import Masks
    from lexiseg.methods.clipseg.config import Config
    from lexiseg.prompts import Vocabulary
    from lexiseg.protocols import Masker, MaskPrompts, RawMasks
    from lexiseg.results import ScoreMap
    from lexiseg.stages.mask_agreement import GridScores
    from lexiseg.stages.regions import Regions

__all__ = ["with_masks"]

_WORK = 512  # pixels of the longer side at which regions are found; the map is coarser


def with_masks(
    masker: Masker,
    rgb: NDArray[np.uint8],
    labels: NDArray[np.int16] | NDArray[np.int32],
    scores: ScoreMap,
    vocabulary: Vocabulary,
    config: Config,
    least: int,
) -> tuple[Masks, NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Return masks, the word, mean probability and quality of each; ``labels`` changes in place.

    Each region of a word asks with its box and its peak. A mask that agrees with its region is
    fused with the map, as clip-then-sam does; a region without one stays, and is an instance too.
    """
    from lexiseg.masks import Masks
    from lexiseg.stages.label_resize import resize_labels
    from lexiseg.stages.map_fusion import (
        FusionWeights,
        MaskVotes,
        rejected_regions,
        update_label_map,
    )
    from lexiseg.stages.mask_agreement import grid_scores
    from lexiseg.stages.mask_upsampling import upsample_masks
    from lexiseg.stages.merge import connected_parts, cut
    from lexiseg.stages.prompt_decoding import PromptBatch, decode_prompts
    from lexiseg.stages.regions import find_regions, plan_points

    words = len(vocabulary.words)
    scale = min(1.0, _WORK / max(labels.shape))
    size_hw = (max(1, round(labels.shape[0] * scale)), max(1, round(labels.shape[1] * scale)))
    small = np.array(resize_labels(labels, size_hw))
    if vocabulary.background_index is not None:
        small[small == vocabulary.background_index] = -1
    probabilities = _chances(small, scores)
    regions = find_regions(
        small, probabilities, words, threshold=0.0, least=max(1, round(least * scale * scale))
    )
    masks, word = Masks.empty(scores.size_hw), np.zeros(0, np.int64)
    probability, quality = np.zeros(0, np.float32), np.zeros(0, np.float32)
    if len(regions):
        plan = plan_points(regions, probabilities, points=1, negatives=0, peak=True)
        prompts = _prompts(regions, plan.points_xy, plan.region, labels.shape)
        state = masker.encode(rgb)

        def look(raw: RawMasks) -> GridScores:
            grid_hw = (raw.logits.shape[1], raw.logits.shape[2])
            return grid_scores(scores.grid, small, regions, raw.frame, grid_hw, raw.logits.device)

        ground = vocabulary.background_index
        rivals = np.unique(small[small >= 0])
        rivals = rivals if ground is None else np.union1d(rivals, [ground])
        opened = vocabulary.background is not None and ground is None
        votes: MaskVotes | None = None

        def hear(seen: GridScores, raw: RawMasks, asked: NDArray[np.int64]) -> None:
            nonlocal votes
            votes = votes or MaskVotes(seen, rivals, rest=opened, background=ground)
            votes.add(raw)

        answers = decode_prompts(
            masker, state, PromptBatch(prompts, regions.word[plan.region], plan.region), look, hear,
            min_agreement=config.min_agreement, min_quality=0.0,
        )  # fmt: skip
        if answers is not None and len(answers) and votes is not None:
            word, probability, quality = answers.word, answers.probability, answers.quality
            handled = np.isin(np.arange(len(regions)), answers.region)
            lost = rejected_regions(votes.seen, regions, handled)
            update_label_map(labels, rgb, votes, answers, lost, FusionWeights())
            masks = cut(upsample_masks(answers.raw), labels, word)
    # What no mask answered for.
    rest = labels.copy()
    rest[masks.union()] = -1
    if vocabulary.background_index is not None:
        rest[rest == vocabulary.background_index] = -1
    full = np.ones(labels.shape, np.float16)
    others, class_ids, _ = connected_parts(rest, full, words, least=least)
    means = np.array([float(scores.grid[i].max()) for i in class_ids], np.float32)
    big = np.flatnonzero(masks.areas >= least)
    return (
        Masks.concat([masks[big], others]),
        np.concatenate([word[big], class_ids]),
        np.concatenate([probability[big], means.clip(0, 1)]),
        np.concatenate([quality[big], np.zeros(len(class_ids), np.float32)]),
    )


def _chances(labels: NDArray[np.integer], scores: ScoreMap) -> NDArray[np.float32]:
    """The probability of the word that each pixel holds, (h, w)."""
    import cv2

    out = np.zeros(labels.shape, np.float32)
    for word in np.unique(labels[labels >= 0]).tolist():
        full = cv2.resize(scores.grid[word].astype(np.float32), labels.shape[::-1])
        np.copyto(out, full, where=labels == word)
    return out


def _prompts(
    regions: Regions, points_xy: NDArray[np.int64], which: NDArray[np.int64], shape: tuple[int, ...]
) -> MaskPrompts:
    """A point and a box for each region, in pixels of the picture."""
    import torch

    from lexiseg.masks import label_boxes
    from lexiseg.protocols import MaskPrompts

    height, width = regions.number.shape
    scale = np.array([shape[1] / width, shape[0] / height], np.float32)
    boxes = label_boxes(regions.number, np.arange(len(regions)))[which]
    return MaskPrompts(
        torch.from_numpy(((points_xy + 0.5) * scale)[:, None].astype(np.float32)),
        torch.ones(len(which), 1, dtype=torch.int64),
        torch.from_numpy((boxes * np.concatenate([scale, scale])).astype(np.float32)),
    )
