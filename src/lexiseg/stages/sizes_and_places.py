"""What sizes and places rank things by, as "largest" and "on the left" do: their boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lexiseg.masks import Masks
from lexiseg.prompts.phrases import Attribute

__all__ = ["lie_there", "rank", "size_of"]

_CENTRE = 0.55  # one thing alone is on the left if its centre lies in this part of the width
_MIDDLE = (0.25, 0.75)


def size_of(masks: Masks, size: str, i: int) -> float:
    """Return what a size ranks a thing by: the largest comes first. In pixels, some negative."""
    x0, y0, x1, y1 = masks.boxes_xyxy[i].tolist()
    area = float(masks.areas[i])
    values = {
        "largest": area, "big": area, "smallest": -area, "small": -area,
        "tallest": y1 - y0, "tall": y1 - y0, "shortest": y0 - y1, "widest": x1 - x0,
        "narrowest": x0 - x1, "longest": float(np.hypot(x1 - x0, y1 - y0)),
    }  # fmt: skip
    return float(values[size])


def rank(masks: Masks, attribute: Attribute, things: Sequence[int]) -> list[int]:
    """Return things in the order of a size or a place, the first one first."""

    def measure(i: int) -> float:
        if attribute.kind == "size":
            return size_of(masks, attribute.values[0], i)
        height, width = masks.size_hw
        x, y = _centre(masks, i)
        bottom = float(masks.boxes_xyxy[i, 3]) / height
        side = {
            "left": -x / width, "right": x / width, "top": -y / height, "bottom": y / height,
            "front": bottom, "back": -bottom,
        }  # fmt: skip
        return sum(
            side[one] if one in side else _centrality(masks, i, things) for one in attribute.values
        )

    return sorted(things, key=lambda i: -measure(i))


def lie_there(masks: Masks, sides: Sequence[str], things: Sequence[int]) -> set[int]:
    """Return those of at least one thing that lie in a part of the picture."""
    height, width = masks.size_hw
    strict = 0.5 if len(things) > 1 else _CENTRE
    bottoms = masks.boxes_xyxy[list(things), 3]
    ends = int(bottoms.max()) + int(bottoms.min())

    def lies(i: int) -> bool:
        x, y = _centre(masks, i)
        x, y = x / width, y / height
        bottom = int(masks.boxes_xyxy[i, 3])
        inside = {
            "left": x <= strict, "right": x >= 1 - strict,
            "top": y <= strict, "bottom": y >= 1 - strict,
            "middle": _MIDDLE[0] <= x <= _MIDDLE[1] and _MIDDLE[0] <= y <= _MIDDLE[1],
            "front": 2 * bottom >= ends,
            "back": 2 * bottom <= ends,
        }  # fmt: skip
        return all(inside[side] for side in sides)

    return {i for i in things if lies(i)}


def _centre(masks: Masks, i: int) -> tuple[float, float]:
    x0, y0, x1, y1 = masks.boxes_xyxy[i].tolist()
    return (x0 + x1) / 2, (y0 + y1) / 2


def _centrality(masks: Masks, i: int, things: Sequence[int]) -> float:
    """How much in the middle: of an odd row the one between, else by the picture's centre."""
    centres = np.array([_centre(masks, j) for j in things])
    axis = int(np.ptp(centres, axis=0).argmax())
    x, y = _centre(masks, i)
    height, width = masks.size_hw
    if len(things) % 2:
        return -float(abs((x, y)[axis] - np.median(centres[:, axis])))
    return -float(np.hypot(x / width - 0.5, y / height - 0.5))
