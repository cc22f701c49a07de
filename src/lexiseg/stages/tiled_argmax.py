"""The winning word of every pixel, from logits on cells: a plain softmax and arg-max, in tiles.

Interpolating from cells to pixels is linear and separable, so the logits of a tile of the image
are two small matrix products. A tile holds the logits of all words, and is as small as memory
wants; nothing holds words times pixels of a whole image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.errors import PromptError
from lexiseg.stages.label_map import LabelMap, Labels, empty_labels
from lexiseg.stages.pamr import Pamr
from lexiseg.stages.word_vectors import WordVectors

__all__ = ["ArgmaxRules", "CellLogits", "argmax_labels", "sum_tensors"]

Scores = NDArray[np.float32]

_ON_CPU, _ELSEWHERE = 1 << 20, 1 << 26  # logits of a tile; 4 MB stay in a CPU's cache
_PAMR_LOGITS = 8_000_000  # that PAMR refines at once (32 MB)
_PAMR_PIXELS = 4_000_000  # that PAMR runs on at once, with 16 affinities each (256 MB)


@dataclass(frozen=True, eq=False)
class CellLogits:
    """Logits on cells, and how they are interpolated.

    logits: (Q, h, w) float32, on any device. vertical, horizontal: (H, h) and (W, w) float32, the
    weights of cells in pixels, on the CPU.
    """

    logits: Tensor
    vertical: Tensor
    horizontal: Tensor

    @property
    def size_hw(self) -> tuple[int, int]:
        """The size of what is interpolated to."""
        return len(self.vertical), len(self.horizontal)

    def pixels(self, rows: slice = slice(None), queries: slice = slice(None)) -> Tensor:
        """Return the logits of rows of pixels, (Q, H, W)."""
        vertical, horizontal = (m.to(self.logits.device) for m in (self.vertical, self.horizontal))
        out: Tensor = vertical[rows] @ (self.logits[queries] @ horizontal.T)
        return out


@dataclass(frozen=True)
class ArgmaxRules:
    """How logits become labels.

    scale: what cosines are multiplied with before the softmax over all queries.
    thresholds: (C,) in [0, 1]; a pixel whose winner scores less gets no label.
    area_threshold: classes that win at most this part of what the background does not win lose it
        all to the next best (SCLIP's ``area_thd``).
    pamr: refines logits at the image's size before they compete.
    """

    scale: float
    thresholds: NDArray[np.float32] | None = None
    area_threshold: float = 0.0
    pamr: Pamr | None = None


def argmax_labels(scales: Sequence[CellLogits], words: WordVectors, rules: ArgmaxRules) -> LabelMap:
    """Label every pixel with the class of the best query; logits of several scales are averaged.

    As in SCLIP's code a class's score is the largest softmax probability of its queries, so its
    winner is that of the query with the largest logit. Raises PromptError without queries.
    """
    if not len(words.class_ids):
        raise PromptError("there is no word to look for; give at least one that is known")

    def compete(dropped: NDArray[np.bool_] | None = None) -> tuple[Labels, Scores]:
        queries = None
        if dropped is not None:
            queries = torch.from_numpy(dropped).to(words.class_ids.device)[words.class_ids]
        if rules.pamr is None:
            return _tiled_argmax(scales, words, rules.scale, queries)
        return _refined_argmax(scales, words, rules.scale, rules.pamr, queries)

    labels, scores = compete()
    if rules.area_threshold > 0 and words.background is not None:
        areas = np.bincount(labels.reshape(-1), minlength=words.num_classes)
        areas[words.background] = 0
        small = (areas > 0) & (areas <= rules.area_threshold * areas.sum())
        if small.any():
            labels, scores = compete(small)
    if rules.thresholds is not None:
        labels = np.where(scores < rules.thresholds[labels], labels.dtype.type(-1), labels)
    return LabelMap(labels, scores.astype(np.float16))


def _tiled_argmax(
    scales: Sequence[CellLogits], words: WordVectors, scale: float, dropped: Tensor | None
) -> tuple[Labels, Scores]:
    """Softmax and arg-max of all queries, a tile at a time.

    dropped: (Q,) bool, queries that cannot win; they count in the softmax all the same.
    """
    # Words last, so that they are reduced along memory; base 2, whose powers are fast.
    base_2 = scale / len(scales) * math.log2(math.e)
    cells = [base_2 * one.logits.permute(1, 2, 0).contiguous() for one in scales]
    device, queries = cells[0].device, cells[0].shape[2]
    side = max(1, math.isqrt((_ON_CPU if device.type == "cpu" else _ELSEWHERE) // queries))
    class_ids = words.class_ids.to(device)
    labels, scores = _empty(scales[0], words, device)
    rows = [_tiles(one.vertical, side, device) for one in scales]
    columns = [_tiles(one.horizontal, side, device) for one in scales]
    for bands in zip(*rows, strict=True):
        some = [one[band.cells] for one, band in zip(cells, bands, strict=True)]
        for tiles in zip(*columns, strict=True):
            parts = zip(some, bands, tiles, strict=True)
            logits = sum_tensors(
                tile.weights @ torch.tensordot(band.weights, one[:, tile.cells], 1)
                for one, band, tile in parts
            )
            competing = logits
            if dropped is not None:
                competing = logits.masked_fill(dropped, -torch.inf)
            query, best, top = _argmax(competing), competing.amax(-1), logits.amax(-1)
            place = bands[0].pixels, tiles[0].pixels
            labels[place] = class_ids[query].to(labels.dtype)
            scores[place] = (best - top).exp2_() / logits.sub_(top[..., None]).exp2_().sum(-1)
    return labels.cpu().numpy(), scores.cpu().numpy()


def _refined_argmax(
    scales: Sequence[CellLogits],
    words: WordVectors,
    scale: float,
    refine: Pamr,
    dropped: Tensor | None,
) -> tuple[Labels, Scores]:
    """The same with logits refined by PAMR, some queries at a time, in bands of rows.

    What lies within PAMR's reach of a band's cut is computed and thrown away.
    """
    height, width = scales[0].size_hw
    device = scales[0].logits.device
    class_ids = words.class_ids.to(device)
    labels, scores = _empty(scales[0], words, device)
    step = max(_PAMR_PIXELS // width - 2 * refine.reach, 2 * refine.reach, 1)
    for top in range(0, height, step):
        inner = slice(top, min(top + step, height))
        outer = slice(max(0, top - refine.reach), min(height, inner.stop + refine.reach))
        kept = slice(inner.start - outer.start, inner.stop - outer.start)
        refine_rows = refine.rows(outer)
        best = torch.full((inner.stop - top, width), -torch.inf, device=device)
        log_sum, label = best, torch.zeros_like(best, dtype=labels.dtype)
        at_once = max(1, _PAMR_LOGITS // ((outer.stop - outer.start) * width))
        for start in range(0, len(class_ids), at_once):
            part = slice(start, start + at_once)
            logits = sum_tensors(scale / len(scales) * one.pixels(outer, part) for one in scales)
            logits = refine_rows(logits)[:, kept]
            log_sum = torch.logaddexp(log_sum, logits.logsumexp(0))
            if dropped is not None:
                logits = logits.masked_fill(dropped[part, None, None], -torch.inf)
            largest, query = logits.max(0)
            label = torch.where(largest > best, class_ids[part][query].to(label.dtype), label)
            best = torch.maximum(best, largest)
        labels[inner], scores[inner] = label, (best - log_sum).exp_().clamp_(0, 1)
    return labels.cpu().numpy(), scores.cpu().numpy()


def _argmax(logits: Tensor) -> Tensor:
    """The arg-max of the last axis; NumPy's is five times as fast as torch's on a CPU."""
    if logits.device.type == "cpu":
        return torch.from_numpy(np.argmax(logits.numpy(), -1))
    return logits.argmax(-1)


@dataclass(frozen=True, eq=False)
class _Tile:
    """Pixels of one axis, the cells (n,) that they lie between, and their weights (pixels, n)."""

    pixels: slice
    cells: Tensor
    weights: Tensor


def _tiles(matrix: Tensor, side: int, device: torch.device) -> list[_Tile]:
    """Cut the pixels of an axis, whose matrix (pixels, cells) is on the CPU, into tiles."""
    out = []
    for start in range(0, len(matrix), side):
        pixels = slice(start, start + side)
        cells = matrix[pixels].any(0).nonzero()[:, 0]
        weights = matrix[pixels, cells]
        out.append(_Tile(pixels, cells.to(device), weights.to(device)))
    return out


def _empty(like: CellLogits, words: WordVectors, device: torch.device) -> tuple[Tensor, Tensor]:
    """Room for labels and scores of an image's size."""
    labels = torch.from_numpy(empty_labels(like.size_hw, words.num_classes)).to(device)
    return labels, torch.empty(like.size_hw, device=device)


def sum_tensors(terms: Iterable[Tensor]) -> Tensor:
    """Return the sum of tensors, at least one."""
    return reduce(torch.add, terms)
