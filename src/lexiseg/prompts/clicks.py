"""Points and boxes that a user gives, in pixels of the image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lexiseg.errors import PromptError

__all__ = ["Clicks"]


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

    def check(self, size_hw: tuple[int, int]) -> None:
        """Raise PromptError for a point or box that does not lie in a picture of this size."""
        height, width = size_hw
        picture = f"the picture, {width} pixels wide and {height} high"
        for x, y in (*self.points_xy, *self.not_points_xy):
            if not (0 <= x < width and 0 <= y < height):
                raise PromptError(f"the point {x:g},{y:g} lies outside {picture}; give x,y in it")
        for x0, y0, x1, y1 in self.boxes_xyxy:
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise PromptError(
                    f"the box {x0:g},{y0:g},{x1:g},{y1:g} does not lie in {picture}, or is empty; "
                    "give x0,y0,x1,y1 with x0 < x1 and y0 < y1"
                )


def _numbers(given: Sequence[float], count: int, what: str) -> tuple[float, ...]:
    try:
        out = tuple(float(v) for v in given)
    except (TypeError, ValueError):
        out = ()
    if len(out) != count or not all(abs(v) < 1e9 for v in out):
        form = "x, y" if count == 2 else "x0, y0, x1, y1"
        raise PromptError(f"a {what} is {given!r}; give {count} numbers: {form}")
    return out
