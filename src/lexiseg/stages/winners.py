"""The winning word of every pixel, from logits of windows, by the rules of the papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.stages.clip_windows import Windows, logits
from lexiseg.stages.dense import LabelMap, WordVectors
from lexiseg.stages.pamr import Pamr
from lexiseg.stages.pruned import Found, pruned

__all__ = ["Rules", "grid_probabilities", "winners"]

_VALUES = 8_000_000  # floats that are held at once while refining (32 MB)
_BAND = 4_000_000  # pixels that are refined at once, of 16 affinities each (256 MB)


@dataclass(frozen=True)
class Rules:
    """How logits become labels.

    scale: what cosines are multiplied with before the softmax over all queries.
    thresholds: (O,) in [0, 1]; a pixel whose winner scores less gets no word.
    area: words that win at most this part of the pixels that words other than the background win
        lose them all to the next best (SCLIP's ``area_thd``).
    refine: takes logits at the picture's size, (C, H, W), and returns better ones; a ``Pamr`` is
        given bands of large pictures.
    """

    scale: float
    thresholds: NDArray[np.float32] | None = None
    area: float = 0.0
    refine: Callable[[Tensor], Tensor] | None = None


def winners(seen: Sequence[Windows], words: WordVectors, rules: Rules) -> LabelMap:
    """Label every pixel with the class of the best query; several scales are averaged.

    A class's score is the largest softmax probability of its queries, so its winner is the class
    of the query with the largest logit: neither needs all words' maps at once. Labels are those of
    all words' maps, scores within 1e-4; with ``refine`` all words are looked at.
    """
    if not len(words.class_ids):
        raise ValueError("no query is left; give at least one word")
    found = _label(seen, words, rules, torch.ones_like(words.class_ids, dtype=torch.bool))
    if rules.area > 0 and words.background is not None:
        counts = np.bincount(found.class_id.reshape(-1).astype(np.int64), minlength=words.count)
        counts[words.background] = 0
        small = (counts <= rules.area * counts.sum()) & (counts > 0)
        if small.any():
            dropped = torch.from_numpy(small).to(words.class_ids.device)[words.class_ids]
            found = _label(seen, words, rules, ~dropped)
    if rules.thresholds is not None:
        found.class_id[found.score < rules.thresholds[found.class_id]] = -1
    return LabelMap(found.class_id, found.score.astype(np.float16))


def grid_probabilities(seen: Sequence[Windows], words: WordVectors, scale: float) -> Tensor:
    """The probability of each class_id on the first scale's grid, (O, h, w) float32."""
    size = seen[0].grid_hw
    total = torch.zeros(())
    for one in seen:
        vertical, level = one.to_size(size)
        total = vertical @ logits(one, words.vectors) @ level.T + total
    probabilities = (scale / len(seen) * total).softmax(0)
    out = probabilities.new_zeros(words.count, *size)
    order = words.class_ids[:, None, None].expand_as(probabilities)
    return out.scatter_reduce_(0, order, probabilities, "amax")


def _label(seen: Sequence[Windows], words: WordVectors, rules: Rules, alive: Tensor) -> Found:
    if rules.refine is None:
        return pruned(seen, words, rules.scale, alive)
    return _refined(seen, words, rules.scale, rules.refine, alive)


def _refined(
    seen: Sequence[Windows],
    words: WordVectors,
    scale: float,
    refine: Callable[[Tensor], Tensor],
    alive: Tensor,
) -> Found:
    """The same from all words' logits at the picture's size, some words at once."""
    height, width = seen[0].size_hw
    maps = [logits(one, words.vectors) for one in seen]
    found = Found.empty((height, width), words.count)
    reach = refine.reach if isinstance(refine, Pamr) else height
    rows = max(_BAND // width - 2 * reach, 2 * reach, 1)
    for top in range(0, height, rows):
        inner = slice(top, min(top + rows, height))
        outer = slice(max(0, inner.start - reach), min(height, inner.stop + reach))
        kept = slice(inner.start - outer.start, inner.stop - outer.start)
        better = refine.rows(outer) if isinstance(refine, Pamr) else refine
        best = torch.full((inner.stop - top, width), -torch.inf, device=maps[0].device)
        total, class_id = best.clone(), torch.zeros_like(best, dtype=words.class_ids.dtype)
        at_once = max(1, _VALUES // ((outer.stop - outer.start) * width))
        for start in range(0, len(words.class_ids), at_once):
            part = slice(start, start + at_once)
            values = torch.zeros((), device=best.device)
            for one, (vertical, level) in zip(maps, (s.to_picture for s in seen), strict=True):
                values = vertical[outer] @ (one[part] @ level.T) + values
            values = better(values / len(seen))[:, kept]
            total = torch.logaddexp(total, (scale * values).logsumexp(0))
            champion, who = values.masked_fill(~alive[part, None, None], -torch.inf).max(0)
            class_id = torch.where(champion > best, words.class_ids[part][who], class_id)
            best = torch.maximum(best, champion)
        found.class_id[inner] = class_id.cpu().numpy()
        found.score[inner] = (scale * best - total).exp_().clamp_(0, 1).cpu().numpy()
    return found
