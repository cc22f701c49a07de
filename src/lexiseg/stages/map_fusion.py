"""A map of words fused together with masks: who has each place, on the mask model's own grid.

Masks are evidence, not stencils. What lies in one mask is probably one thing, whatever was asked
for there, so places share what the map says of the masks that they lie in; and a mask that was
kept for a word speaks for it inside, and against it in what it left over of the word's region.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.protocols import Frame, RawMasks
from lexiseg.stages.dense import label_map
from lexiseg.stages.guided_filter import GuidedFilter
from lexiseg.stages.mask_agreement import GridScores
from lexiseg.stages.prompt_decoding import ScoredMasks
from lexiseg.stages.regions import Regions

__all__ = [
    "FusionWeights",
    "MaskVotes",
    "fused_probabilities",
    "mask_grid_filter",
    "rejected_regions",
    "update_label_map",
    "write_winners",
]

_LEAST = 1e-3  # a word's probability; a smaller one says no more
_NOTHING = 1e-2  # the same of nothing, which is never that unlikely
_TOUCHED = 0.05  # of a mask's probability: where it has a say
_SURE = 20.0  # nats: what a user asked for
_BEST_QUALITY = 0.98
_ROWS = 256  # of the picture, written at once


@dataclass(frozen=True)
class FusionWeights:
    """pooling: the part of the evidence that places share with the masks that they lie in, [0, 1].
    trust: nats for which a mask of quality 0.5 speaks; of quality q, log2(1 - q)**2 times as many:
        poor masks whisper, sure ones decide.
    radius, epsilon: of the guided filter that outlines follow, in cells of the mask model, and a
        variance of colours in [0, 1] squared.
    """

    pooling: float = 0.3
    trust: float = 2.0
    radius: int = 3
    epsilon: float = 1e-4


class MaskVotes:
    """What the map says of masks, added up over all candidates as they come, kept or not.

    Words that the map gives no place to have no say. probabilities: (K', h, w), theirs, in the
    order of ``words`` (K',), then what no word has if ``rest``. background: the word that is none.
    """

    def __init__(
        self, seen: GridScores, words: NDArray[np.integer], *, rest: bool, background: int | None
    ) -> None:
        self.words = torch.from_numpy(words.astype(np.int64)).to(seen.probabilities.device)
        self.names = np.append(words, -1) if rest else words
        parts = [seen.probabilities[self.words]]
        if rest:
            parts.append((1 - seen.probabilities.sum(0, keepdim=True)).clamp_min(0) * seen.inside)
        least = [_NOTHING if word == background else _LEAST for word in words.tolist()]
        least += [_NOTHING] * rest
        self.least = torch.tensor(least, device=seen.probabilities.device)[:, None, None]
        self.seen = seen
        self.probabilities = torch.cat(parts)
        self._sums = torch.zeros_like(self.probabilities)
        self._weight = torch.zeros_like(self.probabilities[0])
        self.cover = torch.zeros_like(self.probabilities[0])

    def add(self, raw: RawMasks) -> None:
        """Count M masks: each place of one gets its mean of the map, the more the better it is."""
        if not len(raw):
            return
        flat = (raw.logits.float().sigmoid() * self.seen.inside).flatten(1)
        means = flat @ self.probabilities.flatten(1).T / flat.sum(1).clamp_min(1)[:, None]
        weight = means.amax(1) ** 2 * raw.quality.float()
        self._sums += ((means * weight[:, None]).T @ flat).view_as(self._sums)
        self._weight += (weight @ flat).view_as(self._weight)
        self.cover = torch.maximum(self.cover, flat.amax(0).view_as(self.cover))

    @property
    def pooled(self) -> Tensor:
        """The mean over the masks that a place lies in, (K', h, w); 0 where there are none."""
        return self._sums / self._weight.clamp_min(1e-9)


def update_label_map(
    labels: NDArray[np.int16] | NDArray[np.int32],
    rgb: NDArray[np.uint8],
    votes: MaskVotes,
    answers: ScoredMasks,
    rejected_regions: Tensor,
    weights: FusionWeights,
) -> None:
    """Update a label map (H, W) by masks, in place; see ``fused_probabilities``."""
    probabilities, touched = fused_probabilities(votes, answers, rejected_regions, weights)
    grid_hw = (votes.cover.shape[0], votes.cover.shape[1])
    guide = mask_grid_filter(rgb, answers.raw.frame, grid_hw, weights.radius, weights.epsilon)
    write_winners(labels, probabilities, touched, votes.names, guide)


def fused_probabilities(
    votes: MaskVotes,
    answers: ScoredMasks,
    rejected_regions: Tensor,
    weights: FusionWeights,
) -> tuple[Tensor, Tensor]:
    """Return probabilities (K', h, w) of the votes' words, and where masks had a say, (h, w) bool.

    rejected_regions: (h, w) int64, the word whose region a mask has answered for, -1 for none.
    """
    alike = weights.pooling * votes.cover
    own, pooled = (v.clamp_min(votes.least).log() for v in (votes.probabilities, votes.pooled))
    out = own + alike * (pooled - own)
    quality = answers.raw.quality.float().clamp(0, _BEST_QUALITY)
    forced = torch.from_numpy(answers.forced).to(quality.device)
    nats = torch.where(forced, _SURE, weights.trust * torch.log2(1 - quality).square())
    speaks = nats[:, None, None] * torch.tanh(answers.raw.logits.float() / 2)
    said = torch.from_numpy(answers.word).to(quality.device)
    for row, word in enumerate(votes.words.tolist()):
        mine = said == word
        lost = rejected_regions == word
        if bool(mine.any()):
            best = speaks[mine].amax(0)
            out[row] += torch.where(best > 0, best, torch.where(lost, best, 0))
        elif bool(lost.any()):  # a user said that it is not this
            out[row] -= _SURE * lost
    return out.softmax(0), (votes.cover > _TOUCHED) | (rejected_regions >= 0)


def write_winners(
    labels: NDArray[np.int16] | NDArray[np.int32],
    probabilities: Tensor,
    touched: Tensor,
    words: NDArray[np.integer],
    guide: GuidedFilter,
) -> None:
    """Write the winners of (K', h, w) into a label map where ``touched`` (h, w), in place.

    words: (K',), what is written for each. The outlines follow the picture.
    """
    import cv2

    height, width = (
        -(-length // guide.cell) for length in guide.work_hw
    )  # cells of padding say nothing
    found = label_map(probabilities[:, :height, :width], guide).class_id
    names = words.astype(labels.dtype)
    spots = touched[:height, :width].cpu().numpy().astype(np.uint8)
    near = np.asarray(cv2.dilate(spots, np.ones((3, 3), np.uint8))) > 0
    rows, columns = (
        np.minimum(((np.arange(pixels) + 0.5) * work / pixels / guide.cell).astype(np.intp), cells)
        for pixels, work, cells in zip(
            labels.shape, guide.work_hw, (height - 1, width - 1), strict=True
        )
    )
    for top in range(0, len(labels), _ROWS):
        band = slice(top, top + _ROWS)
        mine = near[rows[band, None], columns]
        np.copyto(labels[band], names[found[band]], where=mine)


def mask_grid_filter(
    rgb: NDArray[np.uint8], frame: Frame, grid_hw: tuple[int, int], radius: int, epsilon: float
) -> GuidedFilter:
    """The guide for maps on a mask model's grid; cells no larger than a pixel need none."""
    part = [
        pixels / cells * padded / given
        for pixels, cells, padded, given in zip(
            frame.size_hw, grid_hw, frame.padded_hw, frame.input_hw, strict=True
        )
    ]
    radius = radius if max(part) > 1 else 0
    cell = frame.padded_hw[0] // grid_hw[0]
    exact = all(p == cell * g for p, g in zip(frame.padded_hw, grid_hw, strict=True))
    if exact:
        return GuidedFilter(rgb, frame.input_hw, cell, radius, epsilon)
    work_hw = tuple(
        max(1, round(cells * given / padded))
        for cells, given, padded in zip(grid_hw, frame.input_hw, frame.padded_hw, strict=True)
    )
    return GuidedFilter(rgb, (work_hw[0], work_hw[1]), 1, radius, epsilon)


def rejected_regions(
    seen: GridScores, regions: Regions, covered: NDArray[np.bool_], dropped: Collection[int] = ()
) -> Tensor:
    """The word of each place whose region is covered, (R,), or dropped; -1 elsewhere, (h, w).

    The places next to a region that are in none count as its own.
    """
    lost = covered.copy()
    lost[list(dropped)] = True
    words = torch.from_numpy(np.append(np.where(lost, regions.word, -1), -1))
    found = words.to(seen.region.device)[seen.region]
    fringe = F.max_pool2d(found[None].float(), 3, 1, 1)[0].long()
    return torch.where(seen.region < 0, fringe, found)
