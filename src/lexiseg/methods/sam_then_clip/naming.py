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
    from lexiseg.stages.merge import cut, paint, without_duplicates
    from lexiseg.stages.score import owner_chances, relative_scores, top_masks

    started = time.perf_counter()
    count, closed = len(vocabulary.words), vocabulary.background is None
    masks = Masks.concat([view.proposals.masks, view.rest])
    quality = np.append(view.proposals.quality, np.float32(0))
    chances = owner_chances(cosines, words, scale).cpu().numpy()
    owner, score = chances.argmax(1), chances.max(1)
    real = np.arange(len(masks)) < len(view.proposals.masks)
    is_word = (owner < count) & (owner != (-1 if words.background is None else words.background))
    strong = is_word & real & (masks.areas > 0)
    share = relative_scores(cosines, scale)
    strong &= _own(share, words, owner) >= config.relative_threshold
    if config.top_k is not None:
        chosen = np.flatnonzero(strong)
        strong[chosen] = top_masks(owner[chosen], score[chosen], config.top_k)
    drawn = np.flatnonzero((masks.areas > 0) & (real | closed) & (strong | ~is_word | closed))
    top = np.full(view.picture.size_hw, -1, np.int16 if len(masks) < 2**15 else np.int32)
    paint(top, masks[drawn], drawn, score[drawn])
    # One more at the end, for pixels in no mask (-1).
    kind = np.int16 if vocabulary.owners < 2**15 else np.int32
    owners = np.append(owner, -1).astype(kind)[top]
    limits = np.zeros(vocabulary.owners, np.float32)
    for i, word in enumerate(vocabulary.names):
        rest = 0.0 if i == words.background else config.threshold
        limits[i] = config.word_thresholds.get(word, rest)
    weak = score < limits[owner]
    # What no mask covers is background, where that is a word that was asked for.
    nothing = -1 if vocabulary.background_index is None else vocabulary.background_index
    value = np.append(np.where((owner < count) & ~weak, owner, -1), nothing)
    label_map = value.astype(kind)[top]

    found = np.flatnonzero(strong & ~weak)
    iou = masks[found].iou(masks[found])
    rank = score[found] * quality[found]
    found = found[without_duplicates(iou, owner[found], rank, config.iou_threshold)]
    left = cut(masks[found], owners, owner[found])
    big = left.areas >= max(1, round(config.min_share * label_map.size))
    order = np.lexsort((-score[found], owner[found]))
    order = order[big[order]]
    found, left = found[order], left[order]
    seconds = {**facts["seconds"], "merge": time.perf_counter() - started}
    return Segmentation(
        words=vocabulary.names,
        labels=np.array([vocabulary.names[i] for i in owner[found]], np.str_),
        scores=score[found].astype(np.float32),
        quality=quality[found],
        masks=left,
        label_map=label_map,
        word_scores=_word_scores(top, label_map, owner, score, count),
        unknown=unknown,
        score_map=_score_map(masks[drawn], score[drawn], chances[drawn, :count]),
        image=view.picture.rgb,
        provenance=Provenance(**{**facts, "seconds": seconds}),
    )


def _own(share: Tensor, words: WordVectors, owner: NDArray[np.int64]) -> NDArray[np.float32]:
    """Each mask's share of its own word: the best over the word's synonyms, (N,)."""
    import torch

    of_owner = words.owners[None] == torch.from_numpy(owner).to(words.owners.device)[:, None]
    out: NDArray[np.float32] = (share * of_owner).amax(1).cpu().numpy()
    return out


def _word_scores(
    top: NDArray[np.integer],
    label_map: NDArray[np.integer],
    owner: NDArray[np.int64],
    score: NDArray[np.float32],
    count: int,
) -> NDArray[np.float32]:
    """The score of the best mask of each word that shows in the label map, (K,)."""
    shown = np.zeros(len(owner), np.bool_)
    for start in range(0, len(top), 1024):
        band = top[start : start + 1024]
        shown[np.unique(band[label_map[start : start + 1024] >= 0])] = True
    out = np.zeros(count, np.float32)
    np.maximum.at(out, owner[shown], score[shown])
    return out


def _score_map(masks: Masks, score: NDArray[np.float32], chances: NDArray[np.float32]) -> ScoreMap:
    """The probabilities of the mask that each cell's centre belongs to, (K, h, w)."""
    from lexiseg.results import ScoreMap

    scale = min(1.0, _GRID / max(masks.size_hw))
    sizes = [max(1, round(side * scale)) for side in masks.size_hw]
    ys, xs = (
        ((np.arange(cells) + 0.5) * side / cells).astype(np.int64)
        for cells, side in zip(sizes, masks.size_hw, strict=True)
    )
    which = np.full(sizes, -1, np.int64)
    for i in np.argsort(-score, kind="stable")[::-1].tolist():
        x0, y0, x1, y1 = masks.boxes_xyxy[i].tolist()
        rows = slice(*np.searchsorted(ys, [y0, y1]))
        columns = slice(*np.searchsorted(xs, [x0, x1]))
        inside = masks.crop(i)[ys[rows][:, None] - y0, xs[columns] - x0]
        which[rows, columns][inside] = i
    nothing = np.zeros((1, chances.shape[1]), chances.dtype)
    grid = np.concatenate([chances, nothing])[which].transpose(2, 0, 1)
    return ScoreMap(np.ascontiguousarray(grid, np.float16), masks.size_hw)
