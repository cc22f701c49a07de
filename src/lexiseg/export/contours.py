"""Outlines of masks through the centres of their border pixels, as OpenCV draws them.

A corner x, y stands for the pixel x, y, and a polygon's border belongs to it: so do OpenCV's
`fillPoly`, on which ultralytics' and supervision's masks rest, and Pillow's filled polygons. One
polygon holds a mask of one part without loss, single pixels and holes included: the way goes from
the outer outline along a bridge to the next one and back. A bridge between parts, which is a line
of pixels, belongs to the mask where it comes back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["bridged_contour", "fill_bordered"]

Corners = NDArray[np.int32]


def bridged_contour(crop: NDArray[np.bool_]) -> Corners:
    """Return one polygon, (C, 2) pixels x, y of the crop, around all parts and holes of a mask.

    crop: (h, w) bool, with a pixel at least. The polygon has 3 corners or more.
    """
    import cv2

    found, _ = cv2.findContours(crop.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [np.asarray(ring, np.int32).reshape(-1, 2) for ring in found]
    joined = _joined(rings)
    while len(joined) < 3:
        joined = np.concatenate([joined, joined[-1:]])
    return joined


def _joined(rings: list[Corners]) -> Corners:
    """Return one way through all rings, each reached from the corner nearest to it."""
    points = np.concatenate(rings)
    first = np.cumsum([0, *(len(ring) for ring in rings)])
    ring_of = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    # Prim's tree: the nearest ring that is not reached yet, by squared distances of corners.
    far = np.iinfo(np.int64).max
    gap = np.full(len(points), far)
    origin = np.zeros(len(points), np.int64)
    outside = ring_of > 0
    bridges: dict[int, list[int]] = {}  # corner -> the rings that are reached from it
    reached = [(0, 0)]
    for _ in rings[1:]:
        last = reached[-1][0]
        _approach(points, slice(int(first[last]), int(first[last + 1])), gap, origin)
        nearest = int(np.where(outside, gap, far).argmin())
        ring = int(ring_of[nearest])
        outside[first[ring] : first[ring + 1]] = False
        bridges.setdefault(int(origin[nearest]), []).append(ring)
        reached.append((ring, nearest - int(first[ring])))
    ways: dict[int, list[int]] = {}
    for ring, entry in reversed(reached):  # what is reached from a ring comes after it
        way: list[int] = []
        order = _around(len(rings[ring]), entry)
        for step, corner in enumerate(order):
            place = int(first[ring]) + corner
            way.append(place)
            if step < len(rings[ring]):  # not again where the ring closes
                for other in bridges.get(place, ()):
                    way += [*ways.pop(other), place]
        ways[ring] = way
    return points[ways[0]]


def _around(count: int, entry: int) -> list[int]:
    """The corners of a ring from one on, and back to it."""
    return [*range(entry, count), *range(entry + 1)] if count > 1 else [0]


def _approach(
    points: Corners, of: slice, gap: NDArray[np.int64], origin: NDArray[np.int64]
) -> None:
    """Lower the gap of each corner to those of one ring, and say which of them is nearest."""
    ring = points[of].astype(np.int64)
    rows = max(1, (1 << 20) // len(ring))
    for top in range(0, len(points), rows):
        part = points[top : top + rows].astype(np.int64)
        distance = (part[:, None, 0] - ring[:, 0]) ** 2 + (part[:, None, 1] - ring[:, 1]) ** 2
        nearest = distance.argmin(axis=1)
        value = distance[np.arange(len(part)), nearest]
        nearer = value < gap[top : top + rows]
        gap[top : top + rows][nearer] = value[nearer]
        origin[top : top + rows][nearer] = of.start + nearest[nearer]


def fill_bordered(corners: NDArray[np.integer], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of a polygon, (H, W) bool, as OpenCV's `fillPoly` draws it."""
    import cv2

    canvas = np.zeros(size_hw, np.uint8)
    cv2.fillPoly(canvas, [np.asarray(corners, np.int32).reshape(-1, 1, 2)], (1.0,))
    return canvas.view(np.bool_)
