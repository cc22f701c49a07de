"""How well masks match words: by crops, by dense features pooled inside, by votes over a pixel.

Crops: each mask's box, with what is outside the mask painted over, kept in its aspect and padded
to the encoder's size, many at a time. Features: S = the weighted mean of cosines inside the mask,
less a part of the mean around it (background suppression); weights fall towards the mask's border,
where features mix with the neighbour's. Votes: pixels that the same masks cover are one region,
whose class is decided once: the sum over masks of how good a mask is times how probable each class
is for it (Cheng et al., "Per-Pixel Classification is Not All You Need", 2021, section 3.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.protocols import Encoder
from lexiseg.stages.word_vectors import WordVectors

__all__ = [
    "border_weights",
    "class_probabilities",
    "coverage",
    "covering_masks",
    "crop_vectors",
    "crops",
    "default_batch",
    "mean_votes",
    "overlap_regions",
    "relative_scores",
    "surroundings",
    "top_masks",
    "weighted_cosines",
]


_FILL = (123, 117, 104)  # CLIP's mean colour: what it takes for nothing
# Crops at a time: on a CPU, more crowd each other out of its cache.
_ON_CPU, _ELSEWHERE = 8, 64


def crops(
    rgb: NDArray[np.uint8], masks: Masks, side: int, fill: Sequence[int] = _FILL
) -> Iterator[NDArray[np.uint8]]:
    """Yield each mask's part of the picture (H, W, 3), (side, side, 3): scaled, centred, padded.

    Pixels outside the mask, and the padding, have the colour ``fill``.
    """
    import cv2

    for i, (x0, y0, x1, y1) in enumerate(masks.boxes_xyxy.tolist()):
        out = np.full((side, side, 3), fill, np.uint8)
        longer = max(x1 - x0, y1 - y0)
        if longer:
            scale = side / longer
            wide, high = (max(1, round(v * scale)) for v in (x1 - x0, y1 - y0))
            part = np.where(masks.crop(i)[..., None], rgb[y0:y1, x0:x1], np.array(fill, np.uint8))
            way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            left, top = (side - wide) // 2, (side - high) // 2
            out[top : top + high, left : left + wide] = cv2.resize(
                part, (wide, high), interpolation=way
            )
        yield out


def crop_vectors(
    encoder: Encoder, rgb: NDArray[np.uint8], masks: Masks, side: int, *, batch: int | None = None
) -> Tensor:
    """Return one vector a mask from its crop, (N, D), unit length; ``batch`` crops at a time.

    None: ``default_batch``.
    """
    batch = batch or default_batch(encoder)
    made, waiting = [], []
    for i, crop in enumerate(crops(rgb, masks, side), start=1):
        waiting.append(crop)
        if len(waiting) == batch or i == len(masks):
            made.append(encoder.pooled(torch.from_numpy(np.stack(waiting))))
            waiting = []
    if not made:
        return torch.zeros(0, encoder.text(["nothing"]).shape[1])
    return torch.cat(made).float()


def default_batch(encoder: Encoder) -> int:
    """Return how many crops at a time suit what the encoder runs on."""
    return _ON_CPU if encoder.device_name == "cpu" else _ELSEWHERE


def coverage(masks: Masks, grid_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return the part of each cell of a grid that each mask covers, (N, h, w) in [0, 1].

    Pixels count for the cell that their centre lies in. Work is linear in the masks' boxes.
    """
    cell_of = [
        ((np.arange(length) + 0.5) * cells / length).astype(np.int64)
        for length, cells in zip(masks.size_hw, grid_hw, strict=True)
    ]
    sizes = [np.bincount(c, minlength=n) for c, n in zip(cell_of, grid_hw, strict=True)]
    out = np.zeros((len(masks), *grid_hw), np.float32)
    for i, (x0, y0, x1, y1) in enumerate(masks.boxes_xyxy.tolist()):
        if x0 == x1:
            continue
        rows, columns = cell_of[0][y0:y1], cell_of[1][x0:x1]
        row_cells, row_starts = np.unique(rows, return_index=True)
        column_cells, column_starts = np.unique(columns, return_index=True)
        sums = np.add.reduceat(masks.crop(i).astype(np.int64), row_starts, axis=0)
        sums = np.add.reduceat(sums, column_starts, axis=1)
        out[i][np.ix_(row_cells, column_cells)] = sums
    area: NDArray[np.int64] = np.maximum(sizes[0][:, None] * sizes[1], 1)
    out /= area
    return out


def border_weights(cover: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """Return weights of cells (N, h, w): what is covered, less near the mask's border.

    A cell that is at least half covered counts by its distance to the nearest one that is not, up
    to ``reach`` cells, where it counts whole. Where no cell is half covered, coverage counts alone.
    """
    import cv2

    out = cover.copy()
    for weights, cells in zip(out, cover, strict=True):
        inside = (cells >= 0.5).astype(np.uint8)
        if inside.any():
            # The picture's edge is no border of the thing: it may go on beyond it.
            far = cv2.distanceTransform(np.pad(inside, 1, mode="edge"), cv2.DIST_L2, 5)[1:-1, 1:-1]
            weights *= np.minimum(far / reach, 1) if not inside.all() else 1
    return out


def surroundings(cover: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cells around each mask, (N, h, w): of its box, half as large again, the rest."""
    out = np.zeros_like(cover)
    for ring, cells in zip(out, cover, strict=True):
        rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
        if not len(rows):
            continue
        spans = []
        for found in (rows, columns):
            more = max(1, round((found[-1] - found[0] + 1) / 4))
            spans.append(slice(max(0, int(found[0]) - more), int(found[-1]) + 1 + more))
        ring[spans[0], spans[1]] = 1 - cells[spans[0], spans[1]]
    return out


def weighted_cosines(
    grid: Tensor,
    vectors: Tensor,
    inside: NDArray[np.float32],
    around: NDArray[np.float32] | None = None,
    alpha: float = 0.0,
) -> Tensor:
    """Return S of masks and words, (N, Q): the mean cosine inside less alpha times that around.

    grid: (h, w, D) features, vectors: (Q, D), both of unit length. inside, around: (N, h, w)
    weights. A mask without weight has 0.
    """
    cosines = (grid.float() @ vectors.float().T).flatten(0, 1)

    def mean(weights: NDArray[np.float32]) -> Tensor:
        flat = torch.from_numpy(weights).to(cosines.device).flatten(1)
        return (flat @ cosines) / flat.sum(1, keepdim=True).clamp_min(1e-6)

    out = mean(inside)
    if around is not None and alpha:
        out = out - alpha * mean(around)
    return out


def class_probabilities(cosines: Tensor, words: WordVectors, scale: float) -> Tensor:
    """Return the probability of each class_id for each mask, (N, O) float32, summing to 1.

    cosines: (N, Q), of masks and queries. As for the places of a dense map: a word has the logit of
    its best synonym, the background the sum of its words' probabilities.
    """
    logits = scale * cosines.float()
    out = logits.new_full((len(logits), words.num_classes), -torch.inf)
    out.scatter_reduce_(1, words.class_ids.to(logits.device).expand_as(logits), logits, "amax")
    if words.background is not None:
        others = words.class_ids.to(logits.device) != words.background
        out[:, words.background] = logits.masked_fill(others, -torch.inf).logsumexp(1)
    return out.softmax(1)


def relative_scores(cosines: Tensor, scale: float) -> Tensor:
    """Return each mask's share of a softmax over masks, over the best mask's, (N, K) in [0, 1].

    The softmax is at the encoder's own scale; its sum cancels out.
    """
    if not len(cosines):
        return cosines
    return (scale * (cosines - cosines.amax(0))).exp()


def top_masks(
    word: NDArray[np.int64], score: NDArray[np.floating], count: int
) -> NDArray[np.bool_]:
    """Return which masks are among the ``count`` best of their word, (N,) (ties: the earlier)."""
    order = np.lexsort((np.arange(len(word)), -score, word))
    starts = np.flatnonzero(np.diff(word[order], prepend=-1)) if len(word) else order
    rank = np.arange(len(word)) - np.repeat(starts, np.diff(np.append(starts, len(word))))
    out = np.zeros(len(word), np.bool_)
    out[order[rank < count]] = True
    return out


def overlap_regions(
    masks: Masks, start: int, stop: int
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """Return the regions of the rows from ``start`` to ``stop``.

    That is the number of each pixel's region, (stop - start, W), and a pixel of each region: its
    row in the picture and its column, (R,) each. Work is linear in the masks' boxes.
    """
    width = masks.size_hw[1]
    # Sums of random numbers tell sets of masks apart.
    codes = np.random.default_rng(0).integers(1, 2**64, len(masks), np.uint64)
    sums = np.zeros((stop - start, -(-width // 8) * 8), np.uint64)
    for i, (x0, y0, _, y1) in enumerate(masks.boxes_xyxy.tolist()):
        low, high = max(y0, start), min(y1, stop)
        if low < high:
            bits = np.unpackbits(masks.packed[i][low - y0 : high - y0], axis=1)
            left = x0 // 8 * 8
            sums[low - start : high - start, left : left + bits.shape[1]] += codes[i] * bits
    flat = sums[:, :width].ravel()
    firsts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    _, where, which = np.unique(flat[firsts], return_index=True, return_inverse=True)
    lengths = np.diff(np.append(firsts, flat.size))
    numbers = np.repeat(which.reshape(-1), lengths).reshape(stop - start, width)
    return numbers, firsts[where] // width + start, firsts[where] % width


def covering_masks(masks: Masks, ys: NDArray[np.int64], xs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which masks cover which of P pixels, given by row and column: (P, N)."""
    out = np.zeros((len(ys), len(masks)), np.bool_)
    for i, (x0, y0, x1, y1) in enumerate(masks.boxes_xyxy.tolist()):
        near = np.flatnonzero((ys >= y0) & (ys < y1) & (xs >= x0) & (xs < x1))
        eight = masks.packed[i][ys[near] - y0, xs[near] // 8 - x0 // 8]
        out[near, i] = eight >> (7 - xs[near] % 8).astype(np.uint8) & 1
    return out


def mean_votes(
    members: NDArray[np.bool_], weights: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean probability of each class_id, (R, O); zeros where no mask is.

    members: (R, N), which masks count. weights: (N,), above 0. probabilities: (N, O).
    """
    weighted = (members * weights).astype(np.float32)
    total = weighted.sum(1, keepdims=True)
    out: NDArray[np.float32] = np.matmul(weighted, probabilities)
    out /= np.where(total > 0, total, 1)
    return out
