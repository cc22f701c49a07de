"""Results of several competitions joined: words, and the words that are parts and kinds of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lexiseg.results import Segmentation
    from lexiseg.stages.label_map import Labels

__all__ = ["join_levels"]

_BAND_ROWS = 64


def join_levels(
    finest: Segmentation,
    coarser: Sequence[tuple[Sequence[int], Segmentation]],
    background: int | None = None,
) -> Segmentation:
    """Return the finest result with the words of coarser competitions beside it.

    coarser: which words each result decides, and that result, from the finest to the coarsest.
    Their instances, scores and score maps take the place of the finest's. The label map shows such
    a word where no finer word, and no other one, is; ``wholes`` holds all of it.
    background: the place of the word "background", which gives way too.
    """
    from lexiseg.masks import Masks

    label_map = _label_map(finest, coarser, background)
    results = [finest, *(result for _, result in coarser)]
    source = {finest.words[k]: place for place, (ids, _) in enumerate(coarser, 1) for k in ids}
    word_scores, wholes = finest.word_scores.copy(), {}
    score_map = finest.score_map
    grid = None if score_map is None else score_map.grid.copy()
    for word, place in source.items():
        k, result = finest.words.index(word), results[place]
        whole = Masks.from_labels(result.label_map, [k])
        if whole.areas[0]:
            wholes[word] = whole
        word_scores[k] = result.word_scores[k]
        if grid is not None and result.score_map is not None:
            grid[k] = result.score_map.grid[k]
    parts = [
        result[[i for i, word in enumerate(result.labels) if source.get(str(word), 0) == place]]
        for place, result in enumerate(results)
    ]
    labels = np.concatenate([part.labels for part in parts])
    order = np.argsort([finest.words.index(str(word)) for word in labels], kind="stable")
    order = order.astype(np.intp)
    quality = [part.quality for part in parts if part.quality is not None]
    return replace(
        finest,
        labels=labels[order],
        scores=np.concatenate([part.scores for part in parts])[order],
        quality=np.concatenate(quality)[order] if len(quality) == len(parts) else None,
        masks=Masks.concat([part.masks for part in parts])[order],
        label_map=label_map,
        word_scores=word_scores,
        score_map=None if score_map is None or grid is None else replace(score_map, grid=grid),
        wholes=wholes,
    )


def _label_map(
    finest: Segmentation,
    coarser: Sequence[tuple[Sequence[int], Segmentation]],
    background: int | None,
) -> Labels:
    """The finest word of each pixel."""
    decided = [k for ids, _ in coarser for k in ids]
    gives_way = [-1, *decided, *([] if background is None else [background])]
    label_map = finest.label_map.copy()
    for top in range(0, len(label_map), _BAND_ROWS):  # what fits into a cache takes half the time
        band = slice(top, top + _BAND_ROWS)
        out = label_map[band]
        free = _is_any(out, gives_way)
        out[_is_any(out, decided)] = -1
        for ids, result in coarser:
            words = result.label_map[band]
            here = free & _is_any(words, ids)
            np.copyto(out, words, where=here)
            free &= ~here
    return label_map


def _is_any(labels: Labels, values: Sequence[int]) -> NDArray[np.bool_]:
    """Whether each label is one of a few values: for so few, a tenth of the time of ``isin``."""
    out: NDArray[np.bool_] = labels == values[0]
    for value in values[1:]:
        out |= labels == value
    return out
