"""Per-place word scores, and the label map made of them in tiles.

Nothing here holds words times pixels at once: scores live on the encoder's coarse grid, and the
picture is labelled in bands of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.prompts import Vocabulary
from lexiseg.protocols import Encoder
from lexiseg.stages.refine import Guide

__all__ = ["LabelMap", "WordVectors", "label_map", "probabilities", "word_vectors"]

_BAND_VALUES = 8_000_000  # floats a band may hold at once (32 MB)


@dataclass(frozen=True)
class WordVectors:
    """Vectors of all queries, (Q, D), and the owner of each, (Q,)."""

    vectors: Tensor
    owners: Tensor
    count: int  # of owners
    background: int | None  # the owner of the background words


def word_vectors(encoder: Encoder, vocabulary: Vocabulary, templates: Sequence[str]) -> WordVectors:
    """Encode a vocabulary. A background word that means the same as an asked word steps back."""
    queries = vocabulary.queries()
    vectors = encoder.text([q.text for q in queries], templates)
    owners = torch.tensor([q.owner for q in queries], device=vectors.device)
    rest = vocabulary.background_owner
    if rest is not None:
        is_rest = owners == rest
        asked = vectors[~is_rest]
        if len(asked) and bool(is_rest.any()):
            same = (vectors @ asked.T).amax(1) >= encoder.same_word
            keep = ~(is_rest & same)
            if bool((keep & is_rest).any()):
                vectors, owners = vectors[keep], owners[keep]
    return WordVectors(vectors, owners, vocabulary.owners, rest)


def probabilities(grid: Tensor, words: WordVectors, scale: float) -> Tensor:
    """Features (h, w, D) -> the probability of each owner, (O, h, w) float32, summing to 1.

    A word's logit is that of its best synonym; the background's is the log-sum of its words'
    exponentials, so that its probability is the sum of theirs.
    """
    logits = scale * (grid.float() @ words.vectors.T).permute(2, 0, 1)
    out = logits.new_full((words.count, *logits.shape[1:]), -torch.inf)
    order = words.owners[:, None, None].expand_as(logits)
    out.scatter_reduce_(0, order, logits, "amax")
    if words.background is not None:
        out[words.background] = logits[words.owners == words.background].logsumexp(0)
    return out.softmax(0)


@dataclass(frozen=True)
class LabelMap:
    """The winning owner of every pixel and its probability there.

    owner: (H, W) int16 or int32, -1 where the winner stays under its threshold.
    score: (H, W) float16 in [0, 1].
    """

    owner: NDArray[np.int16] | NDArray[np.int32]
    score: NDArray[np.float16]


def label_map(
    maps: Tensor, guide: Guide, thresholds: NDArray[np.float32] | None = None
) -> LabelMap:
    """Owner probabilities (O, h, w) -> the label map at the guide's size, band by band.

    Only owners that win at some place of the grid compete: between two places an owner that is
    second at both could come first by interpolation alone.
    thresholds: (O,) in [0, 1]; a pixel whose winner scores less gets -1.
    """
    height, width = guide.size_hw
    winners = np.unique(maps.argmax(0).cpu().numpy())
    chosen = maps[torch.from_numpy(winners).to(maps.device)].cpu().numpy()
    coefficients = guide.fit(chosen)
    kind = np.int16 if maps.shape[0] < 2**15 else np.int32
    owner = np.empty((height, width), kind)
    score = np.empty((height, width), np.float16)
    names = winners.astype(kind)
    rows = max(1, _BAND_VALUES // (width * (len(winners) + 8)))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        best = np.full((bottom - top, width), -np.inf, np.float32)
        who = np.zeros((bottom - top, width), kind)
        for k, values in enumerate(guide.apply(coefficients, top, bottom)):
            ahead = values > best
            np.copyto(best, values, where=ahead)
            np.copyto(who, names[k], where=ahead)
        np.clip(best, 0, 1, out=best)
        if thresholds is not None:
            who[best < thresholds[who]] = -1
        owner[top:bottom], score[top:bottom] = who, best
    return LabelMap(owner, score)
