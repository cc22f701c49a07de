"""Small holes filled and small islands removed, as SAM's automatic mask generator does it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks

__all__ = ["without_small_regions"]


def without_small_regions(masks: Masks, min_area: int) -> tuple[Masks, NDArray[np.bool_]]:
    """Return the masks without holes, then without islands, of fewer than ``min_area`` pixels.

    Where all parts are smaller, the largest stays. Also returns which masks changed, (N,).
    """
    height, width = masks.size_hw
    corners, crops, changed = [], [], []
    for i, (x0, y0, x1, y1) in enumerate(masks.boxes_xyxy.tolist()):
        # What lies outside the box is one pixel of border here, unless it is small itself.
        left = 0 if x0 * height < min_area else x0 - 1
        top = 0 if y0 * width < min_area else y0 - 1
        right = width if (width - x1) * height < min_area else x1 + 1
        bottom = height if (height - y1) * width < min_area else y1 + 1
        crop = np.zeros((bottom - top, right - left), np.bool_)
        crop[y0 - top : y1 - top, x0 - left : x1 - left] = masks.crop(i)
        outside = (top > 0, bottom < height, left > 0, right < width)
        filled = _filled(crop, min_area, outside)
        cleaned = _cleaned(filled, min_area)
        corners.append((left, top))
        crops.append(cleaned)
        changed.append(bool((cleaned != crop).any()))
    out = Masks.from_crops(masks.size_hw, np.array(corners, np.int64).reshape(-1, 2), crops)
    return out, np.array(changed, np.bool_)


def _filled(
    crop: NDArray[np.bool_], min_area: int, outside: tuple[bool, bool, bool, bool]
) -> NDArray[np.bool_]:
    parts, areas = _parts(~crop)
    small = areas < min_area
    # Parts that go on beyond the crop (above, below, left, right) are large.
    for beyond, line in zip(outside, (parts[0], parts[-1], parts[:, 0], parts[:, -1]), strict=True):
        if beyond:
            small[line] = False
    small[0] = True  # the mask itself
    filled: NDArray[np.bool_] = small[parts]
    return filled


def _cleaned(crop: NDArray[np.bool_], min_area: int) -> NDArray[np.bool_]:
    parts, areas = _parts(crop)
    large = areas >= min_area
    large[0] = False
    if len(areas) > 1 and not large.any():
        large[1 + areas[1:].argmax()] = True
    cleaned: NDArray[np.bool_] = large[parts]
    return cleaned


def _parts(which: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Parts that hang together, corners included, from 1 on, (h, w), and areas from part 0 on."""
    import cv2

    _, parts, stats, _ = cv2.connectedComponentsWithStats(which.astype(np.uint8), connectivity=8)
    return np.asarray(parts, np.int32), np.asarray(stats[:, cv2.CC_STAT_AREA], np.int32)
