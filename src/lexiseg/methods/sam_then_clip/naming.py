"""Masks and their similarities to words made into a result."""

from __future__ import annotations

import time
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

_GRID = 64  # cells of the score map's longer side


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

    cosines: (N + 1, Q), masks, then what no mask covers. Each mask goes to the owner with the
    largest probability (words, excluded words, background). In the label map the best-scoring mask
    has the pixel; masks of the background and of excluded words give theirs away.
    """
    from lexiseg.masks import Masks
    from lexiseg.results import Provenance, Segmentation
    from lexiseg.stages.dense import probabilities
    from lexiseg.stages.merge import resolve, without_duplicates
    from lexiseg.stages.score import top_masks

    started = time.perf_counter()
    count, closed = len(vocabulary.words), vocabulary.background is None
    masks = Masks.concat([view.proposals.masks, view.rest])
    real = np.arange(len(masks)) < len(view.proposals.masks)
    chances = probabilities_of(cosines, words, scale, probabilities)
    owner, score = chances.argmax(1), chances.max(1)
    alive = (masks.areas > 0) & (real | closed)
    is_word = owner < count
    if vocabulary.background_index is not None:
        is_word &= owner != vocabulary.background_index
    thing = is_word & real
    strong = thing & (_relative(cosines, words, owner, scale) >= config.relative_threshold)
    if config.top_k is not None:
        ranked = np.flatnonzero(strong)
        strong[ranked] = top_masks(owner[ranked], score[ranked], config.top_k)
    if not closed:
        alive &= strong | ~is_word
    ranked = np.flatnonzero(strong & alive)
    part = masks[ranked]
    rank = score[ranked] * np.append(view.proposals.quality, 0.0)[ranked]
    instance = np.zeros(len(masks), np.bool_)
    kept = without_duplicates(part.iou(part), owner[ranked], rank, config.iou_threshold)
    instance[ranked[kept]] = True
    limits = np.array([config.word_thresholds.get(n, config.threshold) for n in vocabulary.names])
    if vocabulary.background_index is not None:
        limits[vocabulary.background_index] = 0.0
    weak = (owner < count) & (score < np.append(limits, 0.0)[np.minimum(owner, count)])

    painted = np.flatnonzero(alive)
    size_hw = view.picture.size_hw
    label_map = np.full(size_hw, -1, np.int16 if len(masks) < 2**15 else np.int32)
    # First by mask, so that what a weak mask loses goes to nobody: thresholds only take away.
    left = resolve(label_map, masks[painted], painted, score[painted])
    value = np.where((owner < count) & ~weak, owner, -1).astype(label_map.dtype)
    label_map = np.append(value, -1).astype(label_map.dtype)[label_map]
    left = _joined(masks, painted, left, owner, label_map)
    shown = np.flatnonzero(instance & ~weak & alive)
    final = left[np.searchsorted(painted, shown)]
    least = max(1, round(config.min_share * label_map.size))
    big = final.areas >= least
    shown, final = shown[big], final[np.flatnonzero(big)]
    order = np.lexsort((-score[shown], owner[shown]))
    shown, final = shown[order], final[order]
    quality = np.append(view.proposals.quality, 0.0).astype(np.float32)
    seconds = {**facts["seconds"], "merge": time.perf_counter() - started}
    return Segmentation(
        words=vocabulary.names,
        labels=np.array([vocabulary.names[i] for i in owner[shown]], np.str_),
        scores=score[shown].astype(np.float32),
        quality=quality[shown],
        masks=final,
        label_map=label_map,
        word_scores=_word_scores(label_map, owner[painted], score[painted], count),
        unknown=unknown,
        score_map=_score_map(masks, painted, score, chances[:, :count], size_hw),
        image=view.picture.rgb,
        provenance=Provenance(**{**facts, "seconds": seconds}),
    )
