"""Masks and their similarities to words made into a result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from lexiseg.masks import Masks
    from lexiseg.methods.sam_then_clip.config import Config
    from lexiseg.methods.sam_then_clip.view import View
    from lexiseg.prompts import Vocabulary
    from lexiseg.results import ScoreMap, Segmentation, UnknownWord
    from lexiseg.stages.dense import WordVectors

__all__ = ["result"]

_Labels = NDArray[np.int16] | NDArray[np.int32]

_GRID = 64  # cells of the score map's longer side
_BAND = 1 << 21  # pixels of the label map that are made together
_LEAST = 1e-3  # of what a mask counts: the rest of the picture has no quality


def result(
    view: View,
    vocabulary: Vocabulary,
    words: WordVectors,
    cosines: Tensor,
    scale: float,
    config: Config,
    facts: dict[str, Any],
    unknown: tuple[UnknownWord, ...],
) -> Segmentation:
    """Name every mask, drop what is weak, and settle overlaps by score.

    cosines: (N + 1, Q), masks, then what no mask covers. Each mask goes to the class_id with the
    largest probability (words, excluded words, background). In the label map all masks over a pixel
    count by their quality; what goes to the background or to excluded words has no word.
    """
    from lexiseg.masks import Masks
    from lexiseg.results import Provenance, Segmentation
    from lexiseg.stages.mask_scores import class_probabilities, relative_scores
    from lexiseg.stages.merge import cut

    started = time.perf_counter()
    count, closed = len(vocabulary.words), vocabulary.background is None
    masks = Masks.concat([view.proposals.masks, view.rest])
    quality = np.append(view.proposals.quality, np.float32(0))
    probabilities = class_probabilities(cosines, words, scale).cpu().numpy()
    class_id, score = probabilities.argmax(1), probabilities.max(1)
    real = np.arange(len(masks)) < len(view.proposals.masks)
    is_word = (class_id < count) & (
        class_id != (-1 if words.background is None else words.background)
    )
    strong = is_word & real & (masks.areas > 0)
    share = relative_scores(cosines, scale)
    strong &= _own(share, words, class_id) >= config.relative_threshold
    limits = np.zeros(vocabulary.num_classes, np.float32)
    for i, word in enumerate(vocabulary.names):
        rest = 0.0 if i == words.background else config.threshold
        limits[i] = config.word_thresholds.get(word, rest)
    weak = score < limits[class_id]
    found = _instances(masks, np.flatnonzero(strong & ~weak), class_id, score, quality, config)
    if config.top_k is not None:
        strong[:] = False
        strong[found] = True
    drawn = np.flatnonzero((masks.areas > 0) & (real | closed) & (strong | ~is_word | closed))
    # What no mask covers is background, where that is a word that was asked for.
    nothing = -1 if vocabulary.background_index is None else vocabulary.background_index
    opinions = _Opinions(
        masks[drawn], quality[drawn] + _LEAST, probabilities[drawn], class_id[drawn], score[drawn]
    )
    class_ids, label_map, word_scores = _label_map(opinions, limits, count, nothing)
    left = cut(masks[found], class_ids, class_id[found])
    big = left.areas >= max(1, round(config.min_share * label_map.size))
    order = np.lexsort((-score[found], class_id[found]))
    order = order[big[order]]
    found, left = found[order], left[order]
    seconds = {**facts["seconds"], "merge": time.perf_counter() - started}
    return Segmentation(
        words=vocabulary.names,
        labels=np.array([vocabulary.names[i] for i in class_id[found]], np.str_),
        scores=score[found].astype(np.float32),
        quality=quality[found],
        masks=left,
        label_map=label_map,
        word_scores=word_scores,
        unknown=unknown,
        score_map=_score_map(opinions, count),
        image=view.picture.rgb,
        provenance=Provenance(**{**facts, "seconds": seconds}),
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
    from lexiseg.stages.merge import mask_nms
    from lexiseg.stages.nested_masks import without_nested

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


def _own(share: Tensor, words: WordVectors, class_id: NDArray[np.int64]) -> NDArray[np.float32]:
    """Each mask's share of its own word: the best over the word's synonyms, (N,)."""
    import torch

    of_owner = (
        words.class_ids[None] == torch.from_numpy(class_id).to(words.class_ids.device)[:, None]
    )
    out: NDArray[np.float32] = (share * of_owner).amax(1).cpu().numpy()
    return out


@dataclass(frozen=True, eq=False)
class _Opinions:
    """N masks that have a say, how much each counts, and what each is taken for: the probability of
    every class (N, O), the most probable one, and its score."""

    masks: Masks
    weights: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    class_id: NDArray[np.int64]
    score: NDArray[np.float32]


def _label_map(
    opinions: _Opinions, limits: NDArray[np.float32], count: int, nothing: int
) -> tuple[_Labels, _Labels, NDArray[np.float32]]:
    """Each pixel's class (-1: no mask), its word (-1: none), and each word's score, (K,): that of
    the best of its masks where it has pixels."""
    from lexiseg.stages.mask_voting import covering, regions, votes

    few, size_hw = len(limits) < 2**15, opinions.masks.size_hw
    height, width = size_hw
    class_ids: _Labels = np.empty(size_hw, np.int16) if few else np.empty(size_hw, np.int32)
    label_map = np.empty_like(class_ids)
    word_scores = np.zeros(count, np.float32)
    step = max(1, _BAND // width)
    for start in range(0, height, step):
        stop = min(start + step, height)
        numbers, ys, xs = regions(opinions.masks, start, stop)
        members = covering(opinions.masks, ys, xs)
        means = votes(members, opinions.weights, opinions.probabilities)
        class_id, mean, covered = means.argmax(1), means.max(1), members.any(1)
        word = np.where((class_id < count) & (mean >= limits[class_id]), class_id, -1)
        class_ids[start:stop] = np.where(covered, class_id, -1)[numbers]
        label_map[start:stop] = np.where(covered, word, nothing)[numbers]
        shown = np.flatnonzero(covered & (word >= 0))
        own = members[shown] & (opinions.class_id == word[shown, None])
        best = np.where(own.any(1), (own * opinions.score).max(1, initial=0), mean[shown])
        np.maximum.at(word_scores, word[shown], best)
    return class_ids, label_map, word_scores


def _score_map(opinions: _Opinions, count: int) -> ScoreMap:
    """The words' probabilities at the centre of each cell, (K, h, w); 0 where no mask is."""
    from lexiseg.results import ScoreMap
    from lexiseg.stages.mask_voting import covering, votes

    size_hw = opinions.masks.size_hw
    scale = min(1.0, _GRID / max(size_hw))
    h, w = (max(1, round(side * scale)) for side in size_hw)
    ys, xs = (
        ((np.arange(cells) + 0.5) * side / cells).astype(np.int64)
        for cells, side in zip((h, w), size_hw, strict=True)
    )
    members = covering(opinions.masks, np.repeat(ys, w), np.tile(xs, h))
    means = votes(members, opinions.weights, opinions.probabilities[:, :count])
    return ScoreMap(means.T.reshape(count, h, w).astype(np.float16), size_hw)
