"""Whether one thing stands to another as a word says: "on", "behind", "wearing", by their masks.

All of it is geometry in the picture, which knows no depth: what stands lower is nearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks

__all__ = [
    "BELONGING", "RANKED", "Shape", "belongs_to", "distance", "is_between", "relation_holds",
    "shapes",
]  # fmt: skip

# Relations of a thing to what is its own: each thing belongs to one other at most.
BELONGING = ("with", "wearing", "holding", "of")
# Relations that choose by distance.
RANKED = ("nearest to", "farthest from")

_SIDE = 256  # pixels of the longer side that relations are looked at with
_REACH = 0.02  # of that side: as far apart, things still touch
_AROUND = 0.4  # of the places around a thing that are something: it is in it
_BENEATH = 0.2  # of the places right under a thing
_HELD = 0.15  # of the square root of a thing's area: as far away, a thing is held by it
_NEAR = 0.5  # "next to": at most so far apart, of both things' mean widths


@dataclass(frozen=True, eq=False)
class Shape:
    """A thing at the size at which relations are looked at; mask is (h, w) bool, not empty."""

    mask: NDArray[np.bool_]

    @cached_property
    def area(self) -> int:
        return int(np.count_nonzero(self.mask))

    @cached_property
    def centre_xy(self) -> tuple[float, float]:
        rows, columns = np.nonzero(self.mask)
        return float(columns.mean()), float(rows.mean())

    @cached_property
    def box_xyxy(self) -> tuple[int, int, int, int]:
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    @cached_property
    def reach(self) -> int:
        return max(2, int(_REACH * max(self.mask.shape) + 0.5))

    @cached_property
    def grown(self) -> NDArray[np.bool_]:
        """The thing and what it touches."""
        import cv2

        kernel = np.ones((2 * self.reach + 1, 2 * self.reach + 1), np.uint8)
        return cv2.dilate(self.mask.view(np.uint8), kernel).view(np.bool_)

    @cached_property
    def beneath(self) -> NDArray[np.bool_]:
        """The places right under it."""
        out = np.zeros_like(self.mask)
        for step in range(1, self.reach + 2):
            out[step:] |= self.mask[:-step]
        return out & ~self.mask

    @cached_property
    def distance(self) -> NDArray[np.float32]:
        """The distance of each place to it, (h, w)."""
        import cv2

        outside = (~self.mask).view(np.uint8)
        return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 3), np.float32)


def shapes(masks: Masks) -> list[Shape]:
    """Return masks at the size at which relations are looked at; none of them is empty there."""
    height, width = masks.size_hw
    scale = min(1.0, _SIDE / max(height, width))
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    out = []
    for i, (x0, y0, x1, y1) in enumerate(masks.boxes_xyxy.tolist()):
        rows, columns = np.nonzero(masks.crop(i))
        small = np.zeros((h, w), np.bool_)
        small[(rows + y0) * h // height, (columns + x0) * w // width] = True
        if x0 == x1 or y0 == y1:
            small[h // 2, w // 2] = True
        out.append(Shape(small))
    return out


def relation_holds(name: str, thing: Shape, other: Shape) -> bool:
    """Whether a thing stands to another as the relation says; see ``prompts.phrases``."""
    (x, y), (other_x, other_y) = thing.centre_xy, other.centre_xy
    x0, y0, x1, y1 = thing.box_xyxy
    left, top, right, bottom = other.box_xyxy
    touches = bool((thing.grown & other.mask).any())
    beside: int = min(x1, right) - max(x0, left)  # columns that both have
    overlaps = beside >= 0.3 * min(x1 - x0, right - left)
    if name == "on":
        return touches and (
            _share(thing.beneath, other.mask) >= _BENEATH
            or _share(thing.grown & ~thing.mask, other.mask) >= _AROUND
            or (overlaps and y < other_y and y1 > top)
        )
    if name == "in":
        inside = min(x1, right) > max(x0, left) and min(y1, bottom) > max(y0, top)
        within = x0 >= left and x1 <= right and y0 >= top and y1 <= bottom
        around = _share(thing.grown & ~thing.mask, other.mask)
        return touches and inside and (around >= _AROUND or within)
    if name == "under":
        return bool(overlaps and y > other_y and y0 >= top)
    if name == "above":
        return overlaps and y < other_y and y1 <= bottom
    if name == "next to":
        apart = distance(thing, other)
        return apart <= _NEAR * float(np.sqrt(thing.area) + np.sqrt(other.area)) / 2
    if name == "left of":
        return x < other_x and x0 < left
    if name == "right of":
        return x > other_x and x1 > right
    apart = distance(thing, other)
    close = beside > 0 or apart <= 2 * thing.reach
    if name == "in front of":
        return close and y1 >= bottom
    if name == "behind":
        return close and y1 <= bottom
    raise ValueError(f"no relation is named {name!r}")


def distance(thing: Shape, other: Shape) -> float:
    """Return how far apart the nearest places of two things are."""
    return float(other.distance[thing.mask].min())


def is_between(thing: Shape, one: Shape, other: Shape) -> bool:
    """Whether a thing is between two others, along the axis on which they are further apart."""
    apart = [abs(a - b) for a, b in zip(one.centre_xy, other.centre_xy, strict=True)]
    axis = apart.index(max(apart))
    low, high = sorted((one.centre_xy[axis], other.centre_xy[axis]))
    return low < thing.centre_xy[axis] < high


def belongs_to(things: Sequence[Shape], others: Sequence[Shape]) -> list[int]:
    """Return to which of the things each of the others belongs, -1 for none.

    To the one that it touches most, in relation to its size, if it is not much larger; if it
    touches none, to the nearest one that is near for its size: masks may lack a hand.
    """
    out = []
    for other in others:
        contact = np.zeros(len(things))
        for i, thing in enumerate(things):
            if other.area > 4 * thing.area:
                continue
            if (thing.grown & other.mask).any():
                contact[i] = _count(thing.grown & other.grown) / min(thing.area, other.area)
            elif not contact.any():
                apart = distance(thing, other) / np.sqrt(thing.area)
                contact[i] = -1 / max(apart, 1e-6) if apart <= _HELD else 0
        if not contact.any():
            out.append(-1)
        else:
            touched = contact.max() > 0
            out.append(int(contact.argmax() if touched else contact.argmin()))
    return out


def _share(places: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """How much of the places lies in the mask."""
    return _count(places & mask) / max(1, _count(places))


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))
