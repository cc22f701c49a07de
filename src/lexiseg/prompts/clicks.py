"""Points and boxes that a user gives, in pixels of the image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lexiseg.errors import PromptError

__all__ = ["Clicks", "clip_box"]

_SLACK = 2.0  # pixels: rounding, and a mouse that slips


@dataclass(frozen=True)
class Clicks:
    """Places that a user points at, in pixels of the picture: x to the right, y down, from 0.

    points_xy: each is on a thing. not_points_xy: what is there belongs to none of them.
    boxes_xyxy: each is around a thing; x1 and y1 are just behind its last pixels.
    """

    points_xy: tuple[tuple[float, float], ...] = ()
    not_points_xy: tuple[tuple[float, float], ...] = ()
    boxes_xyxy: tuple[tuple[float, float, float, float], ...] = ()

    @classmethod
    def parse(
        cls,
        points: Iterable[Sequence[float]] = (),
        boxes: Iterable[Sequence[float]] = (),
        not_points: Iterable[Sequence[float]] = (),
    ) -> Clicks:
        """Read pairs and fours of numbers; raises PromptError for anything else."""
        return cls(
            tuple((x, y) for x, y in (_numbers(p, 2, "point") for p in points)),
            tuple((x, y) for x, y in (_numbers(p, 2, "point") for p in not_points)),
            tuple((a, b, c, d) for a, b, c, d in (_numbers(p, 4, "box") for p in boxes)),
        )

    def __bool__(self) -> bool:
        return bool(self.points_xy or self.not_points_xy or self.boxes_xyxy)

    @property
    def names(self) -> tuple[str, ...]:
        """What is asked for, by name: "point 1", ..., "box 1", ..."""
        points = (f"point {i}" for i in range(1, len(self.points_xy) + 1))
        boxes = (f"box {i}" for i in range(1, len(self.boxes_xyxy) + 1))
        return (*points, *boxes)

    @property
    def arguments(self) -> dict[str, Any]:
        """What is handed to a segmenter that takes points and boxes; no more than there is."""
        parts = {
            "points": self.points_xy,
            "boxes": self.boxes_xyxy,
            "not_points": self.not_points_xy,
        }
        return {name: part for name, part in parts.items() if part}

    def clipped(self, size_hw: tuple[int, int]) -> Clicks:
        """Return the clicks inside an image of this size; those up to 2 pixels outside are moved.

        Raises PromptError for a point or box that lies further outside, and for an empty box.
        """
        return Clicks(
            tuple(_clipped_point(point, size_hw) for point in self.points_xy),
            tuple(_clipped_point(point, size_hw) for point in self.not_points_xy),
            tuple(clip_box(box, size_hw) for box in self.boxes_xyxy),
        )


def clip_box(
    box_xyxy: tuple[float, float, float, float], size_hw: tuple[int, int], what: str = "box"
) -> tuple[float, float, float, float]:
    """Return a box inside an image of this size, sides up to 2 pixels outside moved to its border.

    Raises PromptError for one that reaches further out, or is empty. what: its name in the message.
    """
    height, width = size_hw
    x0, y0, x1, y1 = box_xyxy
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    moved = max(left - x0, top - y0, x1 - right, y1 - bottom)
    if moved > _SLACK or left >= right or top >= bottom:
        raise PromptError(
            f"the {what} {x0:g},{y0:g},{x1:g},{y1:g} does not lie in {_image(size_hw)}, or is "
            "empty; give x0,y0,x1,y1 with x0 < x1 and y0 < y1"
        )
    return left, top, right, bottom


def _clipped_point(point_xy: tuple[float, float], size_hw: tuple[int, int]) -> tuple[float, float]:
    height, width = size_hw
    x, y = point_xy
    if not (-_SLACK <= x < width + _SLACK and -_SLACK <= y < height + _SLACK):
        raise PromptError(f"the point {x:g},{y:g} lies outside {_image(size_hw)}; give x,y in it")
    return (
        max(x, 0) if x < width else width - 1,
        max(y, 0) if y < height else height - 1,
    )


def _image(size_hw: tuple[int, int]) -> str:
    return f"the picture, {size_hw[1]} pixels wide and {size_hw[0]} high"


def _numbers(given: Sequence[float], count: int, what: str) -> tuple[float, ...]:
    try:
        out = tuple(float(v) for v in given)
    except (TypeError, ValueError):
        out = ()
    if len(out) != count or not all(abs(v) < 1e9 for v in out):
        form = "x, y" if count == 2 else "x0, y0, x1, y1"
        raise PromptError(f"a {what} is {given!r}; give {count} numbers: {form}")
    return out
