"""Masks classified by their similarities to words, and brought together in a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexiseg.methods._base import class_thresholds
from lexiseg.methods._levels import join_levels

if TYPE_CHECKING:
    from torch import Tensor

    from lexiseg.masks import Masks
    from lexiseg.methods.sam_then_clip.config import Config
    from lexiseg.methods.sam_then_clip.segmenter import EncodedMasks
    from lexiseg.prompts import Vocabulary
    from lexiseg.results import Provenance, ScoreMap, Segmentation
    from lexiseg.stages.label_map import Labels
    from lexiseg.stages.word_vectors import WordVectors

__all__ = ["classify_masks"]

_GRID = 64  # cells of the score map's longer side
_BAND = 1 << 21  # pixels of the label map that are made together
_MIN_WEIGHT = 1e-3  # of what a mask counts: the uncovered part has no quality


def classify_masks(
    encoded: EncodedMasks,
    vocabulary: Vocabulary,
    words: WordVectors,
    cosines: Tensor,
    scale: float,
    config: Config,
    provenance: Provenance,
) -> Segmentation:
    """Classify every mask, drop what is weak, and settle overlaps by score.

    cosines: (N + 1, Q), masks, then what no mask covers. Each mask goes to the class with the
    largest probability (words, excluded words, background). In the label map all masks over a pixel
    count by their quality; what goes to the background or to excluded words has no word. Words with
    parts and kinds among the others are decided beside them.
    """
    from lexiseg.stages.mask_scores import class_probabilities

    flat = class_probabilities(cosines, words, scale)

    def classify(probabilities: Tensor) -> Segmentation:
        return _classify(
            encoded, vocabulary, words, cosines, probabilities, scale, config, provenance
        )

    if not words.hierarchy:
        return classify(flat)
    finest, *coarser = words.hierarchy.levels(flat.T)
    results = [(level.class_ids, classify(level.probabilities.T)) for level in coarser]
    return join_levels(classify(finest.probabilities.T), results, vocabulary.background_index)


def _classify(
    encoded: EncodedMasks,
    vocabulary: Vocabulary,
    words: WordVectors,
    cosines: Tensor,
    of_classes: Tensor,
    scale: float,
    config: Config,
    provenance: Provenance,
) -> Segmentation:
    """One competition; ``of_classes``: (N + 1, O), the probability of every class for each mask."""
    from lexiseg.results import Segmentation
    from lexiseg.stages.label_map import cut
    from lexiseg.stages.mask_scores import relative_scores

    count, closed = len(vocabulary.words), vocabulary.background is None
    masks = encoded.masks
    quality = np.append(encoded.proposals.quality, np.float32(0))
    probabilities = of_classes.cpu().numpy()
    class_ids, scores = probabilities.argmax(1), probabilities.max(1)
    real = np.arange(len(masks)) < len(masks) - 1
    background = -1 if words.background is None else words.background
    is_word = (class_ids < count) & (class_ids != background)
    strong = is_word & real & (masks.areas > 0)
    share = _own_share(relative_scores(cosines, scale), words, class_ids)
    strong &= share >= config.relative_threshold
    limits = class_thresholds(vocabulary, config)
    passing = np.flatnonzero(strong & (scores >= limits[class_ids]))
    found = _instances(masks, passing, class_ids, scores, quality, config)
    if config.top_k is not None:
        strong[:] = False
        strong[found] = True
    drawn = np.flatnonzero((masks.areas > 0) & (real | closed) & (strong | ~is_word | closed))
    # What no mask covers is background, where that is a word that was asked for.
    unlabelled = -1 if vocabulary.background_index is None else vocabulary.background_index
    voters = _Voters(
        masks[drawn],
        quality[drawn] + _MIN_WEIGHT,
        probabilities[drawn],
        class_ids[drawn],
        scores[drawn],
    )
    classes, label_map, word_scores = _label_map(voters, limits, count, unlabelled)
    parts = cut(masks[found], classes, class_ids[found])
    big = parts.areas >= max(1, round(config.min_share * label_map.size))
    order = np.lexsort((-scores[found], class_ids[found]))
    order = order[big[order]]
    found, parts = found[order], parts[order]
    return Segmentation(
        words=vocabulary.names,
        labels=np.array([vocabulary.names[i] for i in class_ids[found]], np.str_),
        scores=scores[found].astype(np.float32),
        quality=quality[found],
        masks=parts,
        label_map=label_map,
        word_scores=word_scores,
        score_map=_score_map(voters, count),
        provenance=provenance,
    )


def _instances(
    masks: Masks,
    found: NDArray[np.int64],
    class_id: NDArray[np.int64],
    score: NDArray[np.float32],
    quality: NDArray[np.float32],
    config: Config,
) -> NDArray[np.int64]:
    """Of the masks found, the numbers of those that are instances: no duplicates, no parts."""
    from lexiseg.stages.mask_scores import top_masks
    from lexiseg.stages.mask_selection import mask_nms, without_nested

    rank = score * quality
    iou = masks[found].iou(masks[found])
    kept = mask_nms(iou, class_id[found], rank[found], config.iou_threshold)
    found, iou = found[kept], iou[np.ix_(kept, kept)]
    if config.nested_threshold is not None:
        share = config.nested_threshold
        found = found[without_nested(masks[found], iou, class_id[found], rank[found], share)]
    if config.top_k is not None:
        found = found[top_masks(class_id[found], score[found], config.top_k)]
    return found


def _own_share(
    share: Tensor, words: WordVectors, class_id: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Each mask's share of its own word: the best over the word's synonyms, (N,)."""
    import torch

    own = words.class_ids[None] == torch.from_numpy(class_id).to(words.class_ids.device)[:, None]
    out: NDArray[np.float32] = (share * own).amax(1).cpu().numpy()
    return out


@dataclass(frozen=True, eq=False)
class _Voters:
    """N masks that have a say, how much each counts, and what each is taken for: the probability of
    every class (N, O), the most probable one, and its score."""

    masks: Masks
    weights: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    class_id: NDArray[np.int64]
    score: NDArray[np.float32]


def _label_map(
    voters: _Voters, limits: NDArray[np.float32], count: int, unlabelled: int
) -> tuple[Labels, Labels, NDArray[np.float32]]:
    """Each pixel's class (-1: no mask), its word (-1: none), and each word's score, (K,): that of
    the best of its masks where it has pixels."""
    from lexiseg.stages.mask_scores import covering_masks, mean_votes, overlap_regions

    few, size_hw = len(limits) < 2**15, voters.masks.size_hw
    height, width = size_hw
    class_ids: Labels = np.empty(size_hw, np.int16) if few else np.empty(size_hw, np.int32)
    label_map = np.empty_like(class_ids)
    word_scores = np.zeros(count, np.float32)
    step = max(1, _BAND // width)
    for start in range(0, height, step):
        stop = min(start + step, height)
        numbers, ys, xs = overlap_regions(voters.masks, start, stop)
        members = covering_masks(voters.masks, ys, xs)
        means = mean_votes(members, voters.weights, voters.probabilities)
        class_id, mean, covered = means.argmax(1), means.max(1), members.any(1)
        word = np.where((class_id < count) & (mean >= limits[class_id]), class_id, -1)
        class_ids[start:stop] = np.where(covered, class_id, -1)[numbers]
        label_map[start:stop] = np.where(covered, word, unlabelled)[numbers]
        shown = np.flatnonzero(covered & (word >= 0))
        own = members[shown] & (voters.class_id == word[shown, None])
        best = np.where(own.any(1), (own * voters.score).max(1, initial=0), mean[shown])
        np.maximum.at(word_scores, word[shown], best)
    return class_ids, label_map, word_scores


def _score_map(voters: _Voters, count: int) -> ScoreMap:
    """The words' probabilities at the centre of each cell, (K, h, w); 0 where no mask is."""
    from lexiseg.results import ScoreMap
    from lexiseg.stages.mask_scores import covering_masks, mean_votes

    size_hw = voters.masks.size_hw
    scale = min(1.0, _GRID / max(size_hw))
    h, w = (max(1, round(side * scale)) for side in size_hw)
    ys, xs = (
        ((np.arange(cells) + 0.5) * side / cells).astype(np.int64)
        for cells, side in zip((h, w), size_hw, strict=True)
    )
    members = covering_masks(voters.masks, np.repeat(ys, w), np.tile(xs, h))
    means = mean_votes(members, voters.weights, voters.probabilities[:, :count])
    return ScoreMap(means.T.reshape(count, h, w).astype(np.float16), size_hw)
