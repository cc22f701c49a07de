"""Which candidate masks stay, while what all of them say of the map is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexiseg.prompts import Vocabulary
from lexiseg.protocols import DenseScores, RawMasks
from lexiseg.stages.duplicates import mask_nms
from lexiseg.stages.map_fusion import Candidates, MaskVotes, add_votes, start_votes
from lexiseg.stages.mask_agreement import (
    GridScores,
    best_candidates,
    classify_clicked,
    good_candidates,
    grid_iou,
    score_grid,
)
from lexiseg.stages.prompt_decoding import CandidateBatch, ScoredMasks
from lexiseg.stages.regions import Regions

__all__ = ["NestedRule", "Selection", "WordMap", "select_masks"]


@dataclass(frozen=True, eq=False)
class WordMap:
    """The map of words, and its winners at working size.

    scores: of all classes. vocabulary: they are of. labels: (h, w), the word of each pixel,
    excluded ones among them, -1 for the background. probabilities: (h, w) float32, the winner's.
    """

    scores: DenseScores
    vocabulary: Vocabulary
    labels: NDArray[np.integer]
    probabilities: NDArray[np.float32]

    @property
    def num_words(self) -> int:
        """How many words there are, excluded ones among them."""
        return len(self.vocabulary.words) + len(self.vocabulary.excluded)


@dataclass(frozen=True)
class NestedRule:
    """Keep all good candidates, also those that lie in one another.

    min_quality, min_stability: what each must reach, in [0, 1]. iou_threshold: of a word's masks
    with at least this IoU the better one alone stays.
    """

    min_quality: float
    min_stability: float
    iou_threshold: float


@dataclass(frozen=True, eq=False)
class Selection:
    """What became of the candidates, on the mask model's grid.

    grid: the map there. competing: the classes that compete for places. votes: of all candidates.
    masks: the best of each prompt, then what was clicked. nested: all good ones, where wanted.
    """

    grid: GridScores
    competing: Candidates
    votes: MaskVotes
    masks: ScoredMasks
    nested: ScoredMasks | None


def select_masks(
    batches: Iterable[CandidateBatch],
    word_map: WordMap,
    regions: Regions,
    *,
    clicked: RawMasks | None = None,
    min_agreement: float,
    min_quality: float,
    nested: NestedRule | None = None,
) -> Selection | None:
    """Return the best candidate of each prompt, where it is good enough; None for no prompt.

    clicked: masks that a user pointed at, kept whatever the map says.
    """
    grid: GridScores | None = None
    competing: Candidates | None = None
    votes: MaskVotes | None = None
    best: list[ScoredMasks] = []
    own: list[ScoredMasks] = []
    good: ScoredMasks | None = None
    for raw, batch in _with_clicked(batches, clicked):
        if grid is None or competing is None or votes is None:
            grid = _grid(raw, word_map, regions)
            if clicked is not None:
                own = [classify_clicked(clicked, grid, len(word_map.vocabulary.words))]
            competing = _competing(grid, word_map, own)
            votes = start_votes(competing)
        votes = add_votes(votes, raw, competing, grid.inside)
        if batch is None:
            continue
        best.append(
            best_candidates(batch, grid, min_agreement=min_agreement, min_quality=min_quality)
        )
        if nested is not None:
            good = _with_nested(good, batch, grid, nested)
    if grid is None or competing is None or votes is None:
        return None
    if good is not None:
        good = ScoredMasks.concat([good, *own])
    return Selection(grid, competing, votes, ScoredMasks.concat([*best, *own]), good)


def _with_nested(
    good: ScoredMasks | None, batch: CandidateBatch, grid: GridScores, rule: NestedRule
) -> ScoredMasks:
    new = good_candidates(
        batch, grid, min_quality=rule.min_quality, min_stability=rule.min_stability
    )
    both = new if good is None else ScoredMasks.concat([good, new])
    iou, rank = grid_iou(both.raw.logits), both.scores * both.quality
    return both[mask_nms(iou, both.class_ids, rank, rule.iou_threshold)]


def _with_clicked(
    batches: Iterable[CandidateBatch], clicked: RawMasks | None
) -> Iterator[tuple[RawMasks, CandidateBatch | None]]:
    for batch in batches:
        yield batch.raw, batch
    if clicked is not None:
        yield clicked, None


def _grid(raw: RawMasks, word_map: WordMap, regions: Regions) -> GridScores:
    grid_hw = (raw.logits.shape[1], raw.logits.shape[2])
    return score_grid(
        word_map.scores, word_map.num_words, word_map.labels, regions, raw.frame, grid_hw
    )


def _competing(grid: GridScores, word_map: WordMap, clicked: list[ScoredMasks]) -> Candidates:
    """The words that have any pixel or any click, and the background."""
    vocabulary = word_map.vocabulary
    words = set(np.unique(word_map.labels[word_map.labels >= 0]).tolist())
    for masks in clicked:
        words.update(masks.class_ids.tolist())
    background = vocabulary.background_index
    if background is not None:
        words.add(background)
    opened = vocabulary.background is not None and background is None
    return Candidates.of(grid, words, opened=opened, background=background)
