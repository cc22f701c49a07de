"""Words, refined by a mask model: regions, points, masks, and what becomes of the label map."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lexiseg.methods.clip_then_sam.config import Config
    from lexiseg.methods.clip_then_sam.view import View
    from lexiseg.prompts import Clicks, Vocabulary
    from lexiseg.protocols import Masker, RawMasks
    from lexiseg.results import ScoreMap, Segmentation
    from lexiseg.stages.mask_agreement import GridScores
    from lexiseg.stages.prompt_decoding import PromptBatch, ScoredMasks
    from lexiseg.stages.regions import Regions

__all__ = ["segment_words"]

_WORK = 1024  # pixels of the longer side at which regions are found; the map itself is coarser


def segment_words(
    masker: Masker,
    view: View,
    vocabulary: Vocabulary,
    mapped: Segmentation,
    clicks: Clicks,
    config: Config,
    facts: dict[str, Any],
) -> Segmentation:
    """Return what a map of words, its excluded words among them, becomes with masks.

    Where masks have a say, the map is fused with them; elsewhere it stays. Instances
    are the masks, each as far as its word has the pixels.
    """
    from lexiseg.masks import Masks
    from lexiseg.methods.clip_then_sam.provenance import prompts_provenance, remark
    from lexiseg.results import Provenance, ScoreMap, Segmentation
    from lexiseg.stages.all_candidates import AllCandidates
    from lexiseg.stages.label_resize import apply_thresholds
    from lexiseg.stages.map_fusion import (
        FusionWeights,
        MaskVotes,
        rejected_regions,
        update_label_map,
    )
    from lexiseg.stages.mask_agreement import grid_scores
    from lexiseg.stages.mask_upsampling import upsample_masks
    from lexiseg.stages.merge import cut
    from lexiseg.stages.prompt_decoding import (
        assign_words,
        concat_masks,
        decode_clicks,
        decode_prompts,
    )
    from lexiseg.stages.regions import find_regions

    scores = mapped.score_map
    if scores is None:
        raise ValueError("a mapper keeps its score map, as its protocol says")
    count, clock = len(vocabulary.words), [time.perf_counter()]
    labels, probabilities = _working(mapped, scores, vocabulary)
    shrunk = labels.size / mapped.label_map.size
    regions = find_regions(
        labels, probabilities, len(mapped.words),
        threshold=config.region_threshold, least=max(1, round(config.min_region_size * shrunk)),
    )  # fmt: skip
    request = _request(regions, probabilities, clicks, view.picture.size_hw, config)
    clock.append(time.perf_counter())

    def look(raw: RawMasks) -> GridScores:
        grid_hw = (raw.logits.shape[1], raw.logits.shape[2])
        return grid_scores(scores.grid, labels, regions, raw.frame, grid_hw, raw.logits.device)

    forced = votes = None
    present = set(np.unique(labels[labels >= 0]).tolist())
    if clicks.names:
        raw = decode_clicks(
            masker, view.state, clicks.points_xy, clicks.boxes_xyxy, clicks.not_points_xy
        )
        forced = assign_words(raw, look(raw), count)
        present.update(forced.word.tolist())
    if vocabulary.background_index is not None:
        present.add(vocabulary.background_index)
    rivals = np.array(sorted(present), np.int64)
    rest = vocabulary.background is not None and vocabulary.background_index is None

    rated = max(config.min_quality, masker.min_quality), masker.min_stability
    nested = AllCandidates(*rated, config.iou_threshold) if config.nested else None

    def hear(seen: GridScores, raw: RawMasks, word: NDArray[np.int64]) -> None:
        nonlocal votes
        ground = vocabulary.background_index
        votes = votes or MaskVotes(seen, rivals, rest=rest, background=ground)
        votes.add(raw)
        if nested is not None:
            nested.add(raw, seen, word)

    answers = decode_prompts(
        masker, view.state, request, look, hear,
        min_agreement=config.min_agreement, min_quality=config.min_quality,
    )  # fmt: skip
    if forced is not None:
        hear(look(forced.raw), forced.raw, forced.word)
        answers = forced if answers is None else concat_masks([answers, forced])
    clock.append(time.perf_counter())
    label_map = mapped.label_map.copy()
    masks = Masks.empty(mapped.size_hw)
    word, probability, quality = (
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
    )
    if answers is not None and votes is not None:
        answers = answers[_best(answers, clicks, config)]
        covered = _covered(answers, votes.seen, regions) >= config.coverage
        wrong = _regions_at(regions, clicks.not_points_xy, mapped.size_hw)
        lost = rejected_regions(votes.seen, regions, covered, wrong.tolist())
        weights = FusionWeights(
            config.pooling, config.trust, config.refine_radius, config.refine_epsilon
        )
        update_label_map(label_map, view.picture.rgb, votes, answers, lost, weights)
    clock.append(time.perf_counter())
    if answers is not None:
        if nested is not None:
            answers = concat_masks([x for x in (nested.found, forced) if x is not None])
            answers = answers[_best(answers, clicks, config)]
        word, probability, quality = answers.word, answers.probability, answers.quality
        masks = upsample_masks(answers.raw)
        if nested is None:
            masks = cut(masks, label_map, word)
    clock.append(time.perf_counter())
    label_map[label_map >= count] = -1
    limits = np.array([config.word_thresholds.get(n, config.threshold) for n in vocabulary.names])
    if vocabulary.background_index is not None:
        limits[vocabulary.background_index] = config.word_thresholds.get("background", 0.0)
    least = max(1, round(config.min_share * label_map.size))
    mine = word < count
    mine[mine] = probability[mine] >= limits[word[mine]]
    sure = masks[mine]
    apply_thresholds(label_map, ScoreMap(scores.grid[:count], scores.size_hw), limits, sure)
    kept = np.flatnonzero(mine & (masks.areas >= least))
    kept = kept[np.lexsort((-probability[kept], word[kept]))]
    clock.append(time.perf_counter())
    stages = ("points", "masks", "weigh", "lift", "merge")
    seconds = dict(view.seconds) | {f"map: {k}": v for k, v in mapped.provenance.seconds.items()}
    seconds |= {s: b - a for s, a, b in zip(stages, clock[:-1], clock[1:], strict=True)}
    return Segmentation(
        words=vocabulary.names,
        labels=np.array([vocabulary.names[i] for i in word[kept]], np.str_),
        scores=probability[kept],
        quality=quality[kept],
        masks=masks[kept],
        label_map=label_map,
        word_scores=_word_scores(label_map, scores, word[kept], probability[kept], count),
        unknown=tuple(u for u in mapped.unknown if u.word in vocabulary.names),
        score_map=ScoreMap(scores.grid[:count], scores.size_hw),
        image=view.picture.rgb,
        provenance=Provenance(
            **{**facts, "prompts": prompts_provenance(request, clicks, facts["prompts"])},
            seconds=seconds,
            notes=(
                *view.picture.notes,
                *remark(regions, probabilities, labels, mapped.words, config),
            ),
        ),
    )


def _working(
    mapped: Segmentation, scores: ScoreMap, vocabulary: Vocabulary
) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
    """The map at working size: labels (h, w) without the background, and the winners' scores."""
    import cv2

    from lexiseg.stages.label_resize import resize_labels

    scale = min(1.0, _WORK / max(mapped.size_hw))
    size_hw = (max(1, round(mapped.size_hw[0] * scale)), max(1, round(mapped.size_hw[1] * scale)))
    labels = np.array(resize_labels(mapped.label_map, size_hw))
    if vocabulary.background_index is not None:
        labels[labels == vocabulary.background_index] = -1
    probabilities = np.zeros(size_hw, np.float32)
    for word in np.unique(labels[labels >= 0]).tolist():
        grid = scores.grid[word].astype(np.float32)
        full = cv2.resize(grid, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
        np.copyto(probabilities, full, where=labels == word)
    return labels, probabilities


def _request(
    regions: Regions,
    probabilities: NDArray[np.float32],
    clicks: Clicks,
    size_hw: tuple[int, int],
    config: Config,
) -> PromptBatch:
    """Prompts in pixels of the picture. A user's "not this" counts for the region that it is in."""
    from lexiseg.stages.prompt_decoding import PromptBatch, point_prompts
    from lexiseg.stages.regions import plan_points

    plan = plan_points(
        regions, probabilities,
        points=config.points_per_region, negatives=config.negative_points,
        peak=config.point == "peak", side=config.points_per_side,
    )  # fmt: skip
    scale = np.array(size_hw[::-1]) / np.array(probabilities.shape[::-1])
    others, there = (plan.negatives_xy + 0.5) * scale, plan.negatives
    if clicks.not_points_xy:
        at = _regions_at(regions, clicks.not_points_xy, size_hw, every=True)
        wrong = np.array(clicks.not_points_xy)[None] + 0.5
        others = np.concatenate([others, np.repeat(wrong, len(plan), 0)], 1)
        there = np.concatenate([there, plan.region[:, None] == at[None]], 1)
    prompts = point_prompts((plan.points_xy + 0.5) * scale, others, there)
    return PromptBatch(prompts, regions.word[plan.region], plan.region)


def _regions_at(
    regions: Regions,
    points_xy: tuple[tuple[float, float], ...],
    size_hw: tuple[int, int],
    *,
    every: bool = False,
) -> NDArray[np.int64]:
    """The regions that points of the picture lie in; with ``every``, -2 for one in none."""
    h, w = regions.number.shape
    out = [
        int(regions.number[int(y * h / size_hw[0]), int(x * w / size_hw[1])]) for x, y in points_xy
    ]
    return np.array([r if r >= 0 else -2 for r in out if every or r >= 0], np.int64)


def _best(answers: ScoredMasks, clicks: Clicks, config: Config) -> NDArray[np.int64]:
    """Which answers stay: none that holds a "not this", none twice, the clicked ones first."""
    from lexiseg.stages.mask_agreement import grid_iou, grid_values
    from lexiseg.stages.merge import mask_nms

    rank = answers.probability * answers.quality + answers.forced
    alive = np.ones(len(answers), np.bool_)
    if clicks.not_points_xy:
        alive &= ~grid_values(answers.raw, clicks.not_points_xy).any(1)
    if clicks.points_xy:
        # A click on a thing replaces what was found there of the same word.
        held = grid_values(answers.raw, clicks.points_xy)
        forced = np.flatnonzero(answers.forced & (answers.raw.prompt.cpu().numpy() >= 0))
        for place, which in enumerate(forced[: len(clicks.points_xy)]):
            same = (answers.word == answers.word[which]) & held[:, place]
            alive &= answers.forced | ~same
    kept = np.flatnonzero(alive)
    iou = grid_iou(answers[kept].raw.logits)
    kept = kept[mask_nms(iou, answers.word[kept], rank[kept], config.iou_threshold)]
    # The same mask for two words: the one that scores better.
    iou = grid_iou(answers[kept].raw.logits)
    score = answers.probability[kept] + answers.forced[kept]
    return kept[mask_nms(iou, np.zeros(len(kept), np.int64), score, config.iou_threshold)]


def _covered(answers: ScoredMasks, see: GridScores, regions: Regions) -> NDArray[np.float64]:
    """The part of each region that masks of its own word cover, (R,) in [0, 1]."""
    inside = (answers.raw.logits > 0).cpu().numpy()
    region = see.region.cpu().numpy()
    drawn = np.zeros(region.shape, np.bool_)
    for word in np.unique(answers.word).tolist():
        mine = np.append(regions.word == word, False)[region]  # -1 reads the last one
        drawn |= inside[answers.word == word].any(0) & mine
    cells = np.bincount(region[region >= 0], minlength=len(regions))
    hit = np.bincount(region[drawn], minlength=len(regions))
    out: NDArray[np.float64] = hit / np.maximum(cells, 1)
    return out


def _word_scores(
    label_map: NDArray[np.integer],
    scores: ScoreMap,
    word: NDArray[np.int64],
    probability: NDArray[np.float32],
    count: int,
) -> NDArray[np.float32]:
    """The best instance's score; for a word without instances, its mean score where it is."""
    from lexiseg.stages.label_resize import resize_labels
    from lexiseg.stages.merge import mean_scores

    cells = resize_labels(label_map, (scores.grid.shape[1], scores.grid.shape[2]))
    own = np.take_along_axis(scores.grid, np.maximum(cells, 0)[None].astype(np.intp), 0)[0]
    out = mean_scores(cells.astype(np.int32), own, count)
    present = np.zeros(count, np.bool_)
    for top in range(0, len(label_map), 1024):
        values = np.unique(label_map[top : top + 1024])
        present[values[values >= 0]] = True
    missed = present & (out == 0)
    out[missed] = scores.grid[:count][missed].max((1, 2))
    best = np.zeros(count, np.float32)
    np.maximum.at(best, word, probability)
    out = np.where(best > 0, best, out)
    return np.where(present, out, 0).astype(np.float32)
