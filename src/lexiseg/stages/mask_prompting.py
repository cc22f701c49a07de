"""Prompting a mask model: points in the regions of a label map, and the candidate masks there.

A region's first point is its pole of inaccessibility, the centre of the largest circle inside it:
a centroid may lie outside a curved region. All work is linear in the pixels of the words' boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg.masks import Masks, label_boxes, label_runs
from lexiseg.prompts import Clicks
from lexiseg.protocols import Masker, MaskPrompts, MaskState, RawMasks

__all__ = [
    "CandidateBatch", "PointPrompts", "PromptBatch", "Regions", "ScoredMasks", "decode_clicks",
    "decode_prompts", "decode_together", "find_regions", "plan_points", "point_prompts",
]  # fmt: skip

_ROOM = 0.5  # a further point needs a circle of at least this part of the first one's radius


@dataclass(frozen=True, eq=False)
class Regions:
    """R connected regions of words, by word, then from top to bottom.

    number: (H, W) int32, which region a pixel is in, -1 for none. word, area, best: (R,), the
    index of the word, pixels, and the best score inside. depth: (H, W) float32, distance to the
    nearest pixel outside the region, in pixels, at least 1; 0 outside.
    """

    number: NDArray[np.int32]
    word: NDArray[np.int64]
    area: NDArray[np.int64]
    best: NDArray[np.float32]
    depth: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.word)


@dataclass(frozen=True, eq=False)
class PointPrompts:
    """P places to ask at. points_xy: (P, 2) int64, column and row. region: (P,) int64.

    negatives_xy: (P, n, 2) int64, points of other words; negatives: (P, n) bool, which there are.
    """

    points_xy: NDArray[np.int64]
    region: NDArray[np.int64]
    negatives_xy: NDArray[np.int64]
    negatives: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.points_xy)


def find_regions(
    labels: NDArray[np.integer],
    scores: NDArray[np.floating],
    words: int,
    *,
    threshold: float,
    min_area: int,
) -> Regions:
    """Return the 8-connected regions of pixels that hold a word with at least ``threshold``.

    labels, scores: (H, W), the index of a word, below 0 for none, and its score in [0, 1]. Regions
    of fewer than ``min_area`` pixels are left out.
    """
    import cv2

    number = np.full(labels.shape, -1, np.int32)
    depth = np.zeros(labels.shape, np.float32)
    found_words: list[int] = []
    areas: list[NDArray[np.int64]] = []
    count = 0
    boxes = label_boxes(labels, np.arange(words)).tolist()
    for word, (x0, y0, x1, y1) in enumerate(boxes):
        if x0 == x1:
            continue
        part = (slice(y0, y1), slice(x0, x1))
        inside = (labels[part] == word) & (scores[part] >= threshold)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=8)
        area = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
        kept = area >= min_area
        kept[0] = False  # what is outside
        names = np.where(kept, np.cumsum(kept) - 1 + count, -1).astype(np.int32)
        if not kept.any():
            continue
        # The picture's edge ends a region as another word does.
        framed = np.pad(kept[parts].astype(np.uint8), 1)
        far = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        named = names[parts]
        own = named >= 0
        number[part][own] = named[own]
        depth[part][own] = far[own]
        areas.append(area[kept])
        found_words += [word] * int(kept.sum())
        count += int(kept.sum())
    best = np.zeros(count, np.float32)
    for start, stop, region in label_runs(number):  # few, where pixels are many
        flat = scores.reshape(-1)[int(start[0]) : int(stop[-1])].astype(np.float32)
        highest, own = np.maximum.reduceat(flat, start - start[0]), region >= 0
        np.maximum.at(best, region[own], highest[own])
    area = np.concatenate([np.zeros(0, np.int64), *areas])
    return Regions(number, np.array(found_words, np.int64), area, best, depth)


def plan_points(
    regions: Regions,
    scores: NDArray[np.floating],
    *,
    points: int = 1,
    negatives: int = 0,
    peak: bool = False,
    side: int = 0,
    apart: float = 0.0,
) -> PointPrompts:
    """Return where to ask: up to ``points`` places a region, by region.

    The first is the pole of inaccessibility, or, with ``peak``, the best-scoring pixel of the inner
    half. A further one is the centre of the largest circle that stays inside the region and meets
    no circle of the same size around the points before; it is left out where there is little room,
    so that a compact region gets one and a long one, or two things that touch, get several. apart:
    pixels that it lies from the points before at least.
    side: besides, wherever a grid of so many points a side meets a region. negatives: for each
    place, so many nearest first points of other words' regions.
    """
    places = np.flatnonzero(regions.number >= 0)
    which = regions.number.reshape(-1)[places]
    order = np.argsort(which, kind="stable")  # by region, so that each one's pixels lie together
    places, which = places[order], which[order]
    rows, columns = np.divmod(places, regions.number.shape[1])
    y, x = rows.astype(np.float32), columns.astype(np.float32)
    depth = regions.depth.reshape(-1)[places]
    count = len(regions)
    starts = np.searchsorted(which, np.arange(count))
    room = _largest(depth, starts)
    value = depth
    if peak:
        own = scores.reshape(-1)[places].astype(np.float32)
        value = np.where(depth >= 0.5 * room[which], own, -1)
    chosen = [_first(value, which, starts)]
    open_to: NDArray[np.bool_] = np.ones(count, np.bool_)
    first_of = [np.arange(count)]
    gap = np.full(len(which), np.inf, np.float32)
    for _ in range(1, points):
        last = chosen[-1]
        dy, dx = y - y[last][which], x - x[last][which]
        gap = np.minimum(gap, np.sqrt(dy * dy + dx * dx))
        value = np.where(gap >= apart, np.minimum(depth, gap / 2), -1)
        place = _first(value, which, starts)
        open_to = open_to & (value[place] >= _ROOM * room)
        chosen.append(np.where(open_to, place, last))
        first_of.append(np.flatnonzero(open_to))
    firsts = chosen[0]
    met = _on_grid(places, regions.number.shape, side)
    asked = np.concatenate([*(c[o] for c, o in zip(chosen, first_of, strict=True)), met])
    region = np.concatenate([*first_of, which[met]])
    order = np.argsort(region, kind="stable")
    asked, region = asked[order], region[order]
    points_xy = np.stack([columns[asked], rows[asked]], 1)
    anchors_xy = np.stack([columns[firsts], rows[firsts]], 1)
    negatives_xy, there = _nearest_others(points_xy, region, anchors_xy, regions.word, negatives)
    return PointPrompts(points_xy, region, negatives_xy, there)


def _on_grid(places: NDArray[np.intp], size_hw: tuple[int, ...], side: int) -> NDArray[np.intp]:
    """Which of the pixels, counted by rows, are points of a grid of ``side`` by ``side``."""
    y, x = (((np.arange(side) + 0.5) / side * size).astype(np.int64) for size in size_hw)
    wanted = np.unique(y[:, None] * size_hw[1] + x[None])
    _, out, _ = np.intersect1d(places, wanted, assume_unique=True, return_indices=True)
    return out


def _largest(values: NDArray[np.float32], starts: NDArray[np.intp]) -> NDArray[np.float32]:
    """The largest value of each region, (R,), of pixels by region, each from a start on."""
    out: NDArray[np.float32] = np.maximum.reduceat(values, starts) if len(starts) else values[:0]
    return out


def _first(
    values: NDArray[np.float32], which: NDArray[np.int32], starts: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The first pixel that holds the largest value of each region, (R,)."""
    hits = np.flatnonzero(values == _largest(values, starts)[which])
    out: NDArray[np.intp] = hits[np.searchsorted(hits, starts)]
    return out


def _nearest_others(
    points_xy: NDArray[np.int64],
    region: NDArray[np.int64],
    anchors_xy: NDArray[np.int64],
    word: NDArray[np.int64],
    wanted: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The nearest anchors of other words for each point, (P, n, 2), and which there are, (P, n)."""
    count = min(wanted, len(anchors_xy))
    if not count or not len(points_xy):
        shape = (len(points_xy), 0)
        return np.zeros((*shape, 2), np.int64), np.zeros(shape, np.bool_)
    across = (points_xy[:, None] - anchors_xy[None]).astype(np.float64)
    distance = np.hypot(across[..., 0], across[..., 1])
    distance[word[region][:, None] == word[None]] = np.inf
    near = np.argsort(distance, axis=1, kind="stable")[:, :count]
    there = np.isfinite(np.take_along_axis(distance, near, axis=1))
    return anchors_xy[near], there


CANDIDATES = 3  # a prompt: part, whole, larger
# Prompts whose candidates are held together: as much as suits a cache; a GPU takes all at once.
_ON_CPU, _ON_GPU = 64, 1024


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """P prompts, and what each is for.

    class_ids: (P,) int64, the word. regions: (P,) int64, the region that it lies in, -1 for none.
    """

    prompts: MaskPrompts
    class_ids: NDArray[np.int64]
    regions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.class_ids)

    def __getitem__(self, key: slice) -> PromptBatch:
        return PromptBatch(self.prompts[key], self.class_ids[key], self.regions[key])


@dataclass(frozen=True, eq=False)
class CandidateBatch:
    """All candidates of P prompts, (P * 3), by prompt then by candidate, and the prompts."""

    raw: RawMasks
    prompts: PromptBatch


@dataclass(frozen=True, eq=False)
class ScoredMasks:
    """N masks on the mask model's grid, and what each is.

    class_ids: (N,) int64, its word. regions: (N,) int64, the region that it was prompted for, -1
    for none. scores: (N,) float32 in [0, 1], the mean probability of its word inside. quality: (N,)
    float32 in [0, 1], the mask model's own opinion. clicked: (N,) bool, whether a user pointed at
    it.
    """

    raw: RawMasks
    class_ids: NDArray[np.int64]
    regions: NDArray[np.int64]
    scores: NDArray[np.float32]
    quality: NDArray[np.float32]
    clicked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.class_ids)

    def __getitem__(self, key: NDArray[np.integer]) -> ScoredMasks:
        rows = torch.from_numpy(np.asarray(key)).to(self.raw.logits.device)
        arrays = (self.class_ids, self.regions, self.scores, self.quality, self.clicked)
        return ScoredMasks(self.raw[rows], *(array[key] for array in arrays))

    @classmethod
    def concat(cls, parts: Sequence[ScoredMasks]) -> ScoredMasks:
        """Return the masks of one or more parts of the same image, in order."""
        raws = [part.raw for part in parts]
        return cls(
            _concat_raw(raws),
            np.concatenate([part.class_ids for part in parts]),
            np.concatenate([part.regions for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.quality for part in parts]),
            np.concatenate([part.clicked for part in parts]),
        )


def _concat_raw(raws: Sequence[RawMasks]) -> RawMasks:
    """Return raw masks of several calls on one image, one after the other."""
    return RawMasks(
        torch.cat([raw.logits for raw in raws]),
        torch.cat([raw.quality for raw in raws]),
        torch.cat([raw.prompt for raw in raws]),
        raws[0].frame,
    )


def point_prompts(
    points_xy: NDArray[np.floating],
    negatives_xy: NDArray[np.floating],
    negatives: NDArray[np.bool_],
) -> MaskPrompts:
    """Return P prompts of a point each, (P, 2), with negative ones, (P, n, 2) where (P, n)."""
    places = np.concatenate([points_xy[:, None], negatives_xy], 1).astype(np.float32)
    signs = np.where(negatives, 0, -1).astype(np.int64)
    labels = np.concatenate([np.ones((len(points_xy), 1), np.int64), signs], 1)
    return MaskPrompts(torch.from_numpy(places), torch.from_numpy(labels))


def decode_prompts(
    masker: Masker, state: MaskState, prompts: PromptBatch
) -> Iterator[CandidateBatch]:
    """Yield three candidates for each prompt, as many prompts at a time as suit the device."""
    size = _ON_CPU if masker.device_name == "cpu" else _ON_GPU
    for start in range(0, len(prompts), size):
        part = prompts[start : start + size]
        yield CandidateBatch(masker.decode(state, part.prompts, candidates=CANDIDATES), part)


def decode_together(
    masker: Masker, state: MaskState, clicks: Clicks, before: Masks | None
) -> RawMasks:
    """Return the one mask that all points and the box ask for together.

    before: the mask that they correct; its box is asked with where there is no other. Of the
    candidates that hold every point and none of the others the best rated is taken; of none, the
    one that breaks the fewest.
    """
    right = np.array(clicks.points_xy, np.float32).reshape(-1, 2) + 0.5
    wrong = np.array(clicks.not_points_xy, np.float32).reshape(-1, 2) + 0.5
    box = next(iter(clicks.boxes_xyxy), None)
    if box is None and before is not None and before.areas[0]:
        x0, y0, x1, y1 = before.boxes_xyxy[0].tolist()
        xs, ys = right.T.tolist()  # points may reach beyond what the mask had
        box = min(x0, *xs, x0), min(y0, *ys, y0), max(x1, *xs, x1), max(y1, *ys, y1)
    places = np.concatenate([right, wrong])
    labels = np.array([1] * len(right) + [0] * len(wrong), np.int64)
    prompts = MaskPrompts(
        points_xy=torch.from_numpy(places)[None] if len(places) else None,
        point_labels=torch.from_numpy(labels)[None] if len(places) else None,
        boxes_xyxy=None if box is None else torch.tensor([box], dtype=torch.float32),
    )
    raw = masker.decode(state, prompts, candidates=CANDIDATES)
    broken = torch.zeros(len(raw), device=raw.quality.device)
    if len(places):
        grid = torch.tensor(raw.logits.shape[1:], dtype=torch.float32)
        scale = [
            raw.frame.input_hw[i] / raw.frame.size_hw[i] * float(grid[i]) / raw.frame.padded_hw[i]
            for i in (0, 1)
        ]
        rows = np.minimum(places[:, 1] * scale[0], float(grid[0]) - 1).astype(np.int64)
        columns = np.minimum(places[:, 0] * scale[1], float(grid[1]) - 1).astype(np.int64)
        held = raw.logits[:, torch.from_numpy(rows), torch.from_numpy(columns)] > 0
        broken = (held != torch.from_numpy(labels == 1).to(held.device)).sum(1).float()
    best = int((raw.quality.float() - 2 * broken).argmax())
    return raw[best : best + 1]


def decode_clicks(
    masker: Masker,
    state: MaskState,
    points_xy: Sequence[Sequence[float]],
    boxes_xyxy: Sequence[Sequence[float]],
    not_points_xy: Sequence[Sequence[float]],
) -> RawMasks:
    """Return one mask for each point, then for each box: of a point's candidates the best rated.

    A click on a pixel means its centre. Points of ``not_points_xy`` count for all prompts.
    """
    wrong = np.array(not_points_xy, np.float32).reshape(1, -1, 2) + 0.5
    parts = []
    if len(points_xy):
        right = np.array(points_xy, np.float32).reshape(-1, 2) + 0.5
        others = np.repeat(wrong, len(right), 0)
        prompts = point_prompts(right, others, np.ones(others.shape[:2], np.bool_))
        raw = masker.decode(state, prompts, candidates=CANDIDATES)
        filled = (raw.logits > 0).flatten(1).any(1)
        value = torch.where(filled, raw.quality.float(), -1.0).view(len(right), CANDIDATES)
        first = torch.arange(len(right), device=value.device) * CANDIDATES
        parts.append(raw[first + value.argmax(1)])
    if len(boxes_xyxy):
        boxes = torch.tensor(np.array(boxes_xyxy, np.float32).reshape(-1, 4))
        labels = torch.zeros(len(boxes), wrong.shape[1], dtype=torch.int64)
        places = torch.from_numpy(np.repeat(wrong, len(boxes), 0))
        prompts = MaskPrompts(boxes_xyxy=boxes)
        if wrong.shape[1]:
            prompts = MaskPrompts(places, labels, boxes)
        raw = masker.decode(state, prompts, candidates=1)
        parts.append(replace(raw, prompt=raw.prompt + len(points_xy)))
    return _concat_raw(parts)
