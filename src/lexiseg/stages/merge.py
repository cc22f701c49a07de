"""Label maps and masks brought together: connected parts, duplicates, overlaps, mean scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks, label_boxes

__all__ = ["connected_parts", "cut", "mask_nms", "mean_scores", "paint"]


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


def mask_nms(
    iou: NDArray[np.floating],
    words: NDArray[np.int64],
    rank: NDArray[np.floating],
    threshold: float,
) -> NDArray[np.int64]:
    """Return which of N masks are no duplicates, in ascending order.

    iou: (N, N). From the highest ``rank`` (N,) to the lowest (ties: the earlier first), a mask is
    kept unless it has an IoU of at least ``threshold`` with one kept before of the same word.
    """
    rivals = (iou >= threshold) & (words[:, None] == words[None])
    alive = np.ones(len(words), np.bool_)
    for i in np.argsort(-rank, kind="stable").tolist():
        if alive[i]:
            alive &= ~rivals[i]
            alive[i] = True
    return np.flatnonzero(alive)


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


def cut(masks: Masks, labels: NDArray[np.integer], values: NDArray[np.integer]) -> Masks:
    """Return what each mask keeps: its pixels in which the label map has its value, (N,)."""
    crops = (
        masks.crop(i) & (labels[y0:y1, x0:x1] == value)
        for i, ((x0, y0, x1, y1), value) in enumerate(
            zip(masks.boxes_xyxy.tolist(), values.tolist(), strict=True)
        )
    )
    return Masks.from_crops(masks.size_hw, masks.boxes_xyxy[:, :2], crops)
