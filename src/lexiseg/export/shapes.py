"""Shapes that people draw, as masks: polygons, boxes and ellipses, and shapes of one group."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks

__all__ = ["Shapes", "box_corners", "ellipse_mask"]


class Shapes:
    """The shapes of one picture as they are read; those of a group and label are one instance."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self.size_hw = size_hw
        self.labels: list[str] = []
        self.scores: list[float] = []
        self._parts: list[Masks] = []
        self._groups: dict[tuple[str, object], int] = {}

    def add(self, label: str, mask: Masks, score: float = 1.0, group: object = None) -> None:
        """Add a mask, or the part of one where its group has another of the same label."""
        place = None if group is None else self._groups.get((label, group))
        if place is not None:
            both = Masks.concat([self._parts[place], mask])
            self._parts[place] = Masks.from_dense(both.union()[None])
            return
        if group is not None:
            self._groups[label, group] = len(self.labels)
        self.labels.append(label)
        self.scores.append(score)
        self._parts.append(mask)

    def polygon(self, corners: Sequence[float]) -> Masks:
        """Return the mask of a polygon, x, y, x, y, ..., as pycocotools fills it."""
        return Masks.from_polygons([[corners]], self.size_hw)

    @property
    def masks(self) -> Masks:
        """All masks, in order."""
        return Masks.concat([Masks.empty(self.size_hw), *self._parts])


def box_corners(
    x: float, y: float, width: float, height: float, degrees: float, pivot_xy: tuple[float, float]
) -> list[float]:
    """Return the corners x, y, ... of a box that is turned clockwise about a point."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    out: list[float] = []
    for dx, dy in ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height)):
        a, b = x + dx - pivot_xy[0], y + dy - pivot_xy[1]
        out += [pivot_xy[0] + a * cos - b * sin, pivot_xy[1] + a * sin + b * cos]
    return out


def ellipse_mask(
    size_hw: tuple[int, int],
    centre_xy: tuple[float, float],
    radii_xy: tuple[float, float],
    degrees: float = 0.0,
) -> Masks:
    """Return the pixels whose centre is in an ellipse, turned clockwise about its own centre."""
    height, width = size_hw
    reach = max(radii_xy)
    x0, x1 = (int(np.clip(centre_xy[0] + side, 0, width)) for side in (-reach, reach + 1))
    y0, y1 = (int(np.clip(centre_xy[1] + side, 0, height)) for side in (-reach, reach + 1))
    dy, dx = np.mgrid[y0:y1, x0:x1] + 0.5 - np.reshape(centre_xy[::-1], (2, 1, 1))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    a, b = (dx * cos + dy * sin) / radii_xy[0], (dy * cos - dx * sin) / radii_xy[1]
    inside: NDArray[np.bool_] = a * a + b * b <= 1
    return Masks.from_crops(size_hw, [(x0, y0)], [inside])
