"""Label maps: made of probabilities on a grid of cells, painted with masks, cut into parts.

Nothing here holds words times pixels at once: probabilities stay on the coarse grid, and the image
is labelled tile by tile, one class after the other. No function changes its arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks, label_boxes
from lexiseg.results import ScoreMap

if TYPE_CHECKING:
    from torch import Tensor

    from lexiseg.stages.resample import GuidedFilter, Window

__all__ = [
    "LabelMap", "Labels", "apply_thresholds", "connected_parts", "cut", "empty_labels",
    "fill_nearest", "label_map", "map_labels", "mean_scores", "paint", "paint_order",
    "resize_labels",
]  # fmt: skip

Scalar = TypeVar("Scalar", bound=np.generic)
Labels = NDArray[np.int16] | NDArray[np.int32]

_SAME = 0.5  # from this IoU on, two masks are taken for the same thing
_TILE = 16  # cells a side
_AT_ONCE = 250_000  # pixels, of about 16 floats each while they are labelled (16 MB)
_WIDEST = 8_192  # pixels; cv2.remap counts them in 16 bits


@dataclass(frozen=True, eq=False)
class LabelMap:
    """The winning class of every pixel, and its probability there.

    labels: (H, W) int16 or int32, -1 where the winner stays under its threshold. scores: (H, W)
    float16 in [0, 1].
    """

    labels: Labels
    scores: NDArray[np.float16]


def empty_labels(size_hw: tuple[int, int], num_classes: int) -> Labels:
    """Return room for a label map, of the smallest type that holds so many classes."""
    if num_classes < 2**15:
        return np.empty(size_hw, np.int16)
    return np.empty(size_hw, np.int32)


def label_map(
    probabilities: Tensor, guide: GuidedFilter, thresholds: NDArray[np.float32] | None = None
) -> LabelMap:
    """Return the label map, (H, W), of probabilities (C, h, w), enlarged by the guide.

    In a tile only classes that win at some cell within reach compete: between two cells a class
    that is second at both could come first by interpolation alone.
    thresholds: (C,) in [0, 1]; a pixel whose winner scores less gets -1.
    """
    labels = empty_labels(guide.size_hw, len(probabilities))
    scores = np.empty(guide.size_hw, np.float16)
    on_host = probabilities.cpu()
    classes, winners = np.unique(on_host.argmax(0).numpy(), return_inverse=True)
    maps = on_host.numpy()[classes]
    coefficients, reach = guide.fit(maps), guide.reach
    classes = classes.astype(labels.dtype)
    for (i0, j0, i1, j1), window in _tiles(guide, winners.shape):
        near = winners[max(0, i0 - reach) : i1 + reach, max(0, j0 - reach) : j1 + reach]
        rivals = np.unique(near)
        y0, x0, y1, x1 = window
        planes = guide.apply(coefficients[rivals], window)
        best = next(planes)
        label = np.full(best.shape, classes[rivals[0]])
        for rival, values in zip(rivals[1:], planes, strict=True):
            np.copyto(label, classes[rival], where=values > best)
            np.maximum(best, values, out=best)
        np.clip(best, 0, 1, out=best)
        if thresholds is not None:
            label[best < thresholds[label]] = -1
        labels[y0:y1, x0:x1], scores[y0:y1, x0:x1] = label, best
    return LabelMap(labels, scores)


def _tiles(guide: GuidedFilter, grid_hw: tuple[int, ...]) -> Iterator[tuple[Window, Window]]:
    """Tiles of the grid, and for each the windows of the picture that lie in it, both y0 x0 y1 x1.

    The windows are small enough to be worked on at once.
    """

    def cuts(cells: int, covered: float, length: int) -> list[tuple[int, int, int, int]]:
        inner = range(_TILE, cells, _TILE)
        pixels = [0, *(min(length, round(c / covered * length)) for c in inner), length]
        starts = [0, *inner]
        return [
            (start, min(start + _TILE, cells), low, high)
            for start, low, high in zip(starts, pixels[:-1], pixels[1:], strict=True)
            if low < high  # a small picture may have no pixel there
        ]

    (h, w), (height, width) = grid_hw, guide.size_hw
    rows = cuts(h, guide.work_hw[0] / guide.cell, height)
    columns = cuts(w, guide.work_hw[1] / guide.cell, width)
    for i0, i1, top, bottom in rows:
        for j0, j1, left, right in columns:
            for x0 in range(left, right, _WIDEST):
                x1 = min(x0 + _WIDEST, right)
                step = max(1, _AT_ONCE // (x1 - x0))
                for y0 in range(top, bottom, step):
                    yield (i0, j0, i1, j1), (y0, x0, min(y0 + step, bottom), x1)


def resize_labels(labels: NDArray[Scalar], size_hw: tuple[int, int]) -> NDArray[Scalar]:
    """Return a map (H, W) at another size, by the pixel nearest to each centre."""
    if labels.shape == size_hw:
        return labels
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(labels.shape, size_hw, strict=True)
    )
    out: NDArray[Scalar] = labels[rows[:, None], columns]
    return out


def map_labels(labels: Labels, values: NDArray[np.integer]) -> Labels:
    """Return a label map (H, W) with the value (N,) of each label; -1 reads the last value."""
    return cast(Labels, values.astype(labels.dtype)[labels])


def apply_thresholds(
    labels: NDArray[np.int16] | NDArray[np.int32],
    scores: ScoreMap,
    limits: NDArray[np.floating],
    sure: Masks,
) -> NDArray[np.int16] | NDArray[np.int32]:
    """Return a label map without the pixels that score less than their word's limit, (K,).

    Pixels under ``sure`` masks keep theirs.
    """
    if not limits.any():
        return labels
    labels, safe = labels.copy(), sure.union()
    for word in np.flatnonzero(limits).tolist():
        weak = scores.full(word) < limits[word]
        labels[weak & (labels == word) & ~safe] = -1
    return labels


def connected_parts(
    labels: NDArray[np.int16] | NDArray[np.int32],
    scores: NDArray[np.float16],
    words: int,
    *,
    min_area: int,
) -> tuple[Masks, NDArray[np.int64], NDArray[np.float32]]:
    """Return the 8-connected parts of each word with at least ``min_area`` pixels.

    labels: (H, W), index of a word, below 0 for nothing. scores: (H, W) in [0, 1].
    Returns N masks, the word of each (N,), and the mean score inside each (N,); by word, then
    from the largest part to the smallest. Work is linear in the pixels of the words' boxes.
    """
    import cv2

    size_hw = (labels.shape[0], labels.shape[1])
    found: list[Masks] = []
    class_ids: list[int] = []
    means: list[float] = []
    boxes = label_boxes(labels, np.arange(words)).tolist()
    for word, (x0, y0, x1, y1) in enumerate(boxes):
        if x0 == x1:
            continue
        window = (labels[y0:y1, x0:x1] == word).view(np.uint8)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(window, connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        kept = [int(i) for i in np.argsort(-areas, kind="stable") if areas[i] >= min_area]
        if not kept:
            continue
        corners, crops = [], []
        for i in kept:
            left, top, width, height, area = map(int, stats[i + 1])
            crop = parts[top : top + height, left : left + width] == i + 1
            x, y = x0 + left, y0 + top
            inside = scores[y : y + height, x : x + width][crop]
            crops.append(crop)
            corners.append((x, y))
            means.append(float(inside.sum(dtype=np.float64)) / area)
            class_ids.append(word)
        found.append(Masks.from_crops(size_hw, corners, crops))
    masks = Masks.concat(found) if found else Masks.empty(size_hw)
    return masks, np.array(class_ids, np.int64), np.array(means, np.float32)


def mean_scores(
    labels: NDArray[np.int16] | NDArray[np.int32], scores: NDArray[np.float16], words: int
) -> NDArray[np.float32]:
    """Return the mean score of each word over its own pixels, (K,); 0 for a word without any.

    labels: (H, W), index of a word, -1 for nothing. scores: (H, W) in [0, 1].
    """
    sums, pixels = np.zeros(words + 1), np.zeros(words + 1)
    for top in range(0, len(labels), 1024):  # bincount copies to 64 bits
        flat = labels[top : top + 1024].reshape(-1).astype(np.int64) + 1
        weight = scores[top : top + 1024].reshape(-1).astype(np.float32)
        sums += np.bincount(flat, weights=weight, minlength=words + 1)
        pixels += np.bincount(flat, minlength=words + 1)
    return (sums / np.maximum(pixels, 1))[1:].astype(np.float32)


def paint(
    labels: NDArray[np.int16] | NDArray[np.int32],
    masks: Masks,
    values: NDArray[np.integer],
    rank: NDArray[np.floating],
) -> NDArray[np.int16] | NDArray[np.int32]:
    """Return a label map with the value of each mask, (N,), written into its pixels.

    Where masks overlap, the highest ``rank`` (N,) has the pixel (ties: the earlier mask).
    """
    labels = labels.copy()
    boxes = masks.boxes_xyxy.tolist()
    for i in np.argsort(-rank, kind="stable")[::-1].tolist():
        x0, y0, x1, y1 = boxes[i]
        labels[y0:y1, x0:x1][masks.crop(i)] = values[i]
    return labels


def paint_order(
    masks: Masks,
    score: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    excluded: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return the order of painting, (N,): the score, and 1 more for what is excluded.

    A helmet lies on the person who wears it, though "person" scores better. But where something
    that is wanted scores better for the same thing, what is excluded keeps its score.
    """
    rank = score.astype(np.float32)
    mine, theirs = np.flatnonzero(excluded), np.flatnonzero(wanted)
    if not len(mine):
        return rank
    same = masks[mine].iou(masks[theirs]) >= _SAME
    lost = (same & (score[theirs][None] > score[mine][:, None])).any(1)
    rank[mine] += ~lost
    return rank


def cut(masks: Masks, labels: NDArray[np.integer], values: NDArray[np.integer]) -> Masks:
    """Return what each mask keeps: its pixels in which the label map has its value, (N,)."""
    crops = (
        masks.crop(i) & (labels[y0:y1, x0:x1] == value)
        for i, ((x0, y0, x1, y1), value) in enumerate(
            zip(masks.boxes_xyxy.tolist(), values.tolist(), strict=True)
        )
    )
    return Masks.from_crops(masks.size_hw, masks.boxes_xyxy[:, :2], crops)


def fill_nearest(
    top: NDArray[np.int16] | NDArray[np.int32],
) -> NDArray[np.int16] | NDArray[np.int32]:
    """Return a map (H, W) in which what is below 0 has the value of the nearest pixel.

    A map without any value stays as it is. Distances are OpenCV's 5x5 approximation of Euclid's.
    """
    import cv2

    empty = top < 0
    if not empty.any() or empty.all():
        return top
    _, label = cv2.distanceTransformWithLabels(
        empty.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.empty(int(label.max()) + 1, top.dtype)
    values[label[~empty]] = top[~empty]
    return np.where(empty, values[label], top)
