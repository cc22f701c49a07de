"""Holes of a video filled with what other frames show there; what none shows is filled once.

A frame's hole takes its pixels from the nearest frames, before and after, that show the ground
there, mixed with what the frame before became; what no frame shows is taken from the frame before
alone, and filled as in a photo where that has none. Constants were chosen on four of the twelve
clips of DAVIS 2016 that the project has: camel, car-shadow, dog and libby.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.edit.fill_region import fill_region
from lexiseg.edit.region import Region, box_window
from lexiseg.video.motion import Aligned, Box, Frame, Mask, align, ground_motion

__all__ = ["TemporalFill"]

_AWAY = (1, 2, 3, 5, 8, 12, 17, 23, 30)  # frames, before and after, that are looked into
_MARGIN = 48  # pixels around a hole that are compared
_WORST = 14.0  # grey levels by which a frame may differ beside the hole
_ENOUGH = 0.02  # part of a hole for which looking into another frame pays
_STEADY = 0.7  # weight of what the frame before became, beside what other frames show
_APART = 60.0  # grey levels of difference at which that weight begins to fall, to 0 at twice that


class TemporalFill:
    """Fills the holes of frames that follow each other.

    fill: how what no frame shows is filled, see `lexiseg.edit.fills.FILLS`; "auto" by its depth.
    before: what the frame before the first one that will come became, to go on from, (H, W, 3).
    """

    reach = _AWAY[-1]  # frames before and after that are looked into

    def __init__(self, fill: str = "auto", before: Frame | None = None) -> None:
        self.before = before
        self._fill = fill

    def fill(
        self, frames: Sequence[Frame], holes: Sequence[Mask], start: int, stop: int
    ) -> list[Frame]:
        """Return frames [start, stop) with their holes, (H, W) bool, filled.

        frames: those, and up to `reach` before and after. Later calls go on where one stopped.
        """
        steps = [
            ground_motion(frames[k], frames[k + 1], (holes[k], holes[k + 1]))
            for k in range(len(frames) - 1)
        ]
        return [self._filled(frames, holes, steps, k) for k in range(start, stop)]

    def _filled(
        self,
        frames: Sequence[Frame],
        holes: Sequence[Mask],
        steps: Sequence[NDArray[Any] | None],
        k: int,
    ) -> Frame:
        before, self.before = self.before, frames[k]
        rgb, hole = frames[k], holes[k]
        if not hole.any():
            return rgb
        box = _box(hole)
        x0, y0, x1, y1 = box
        self.before = out = rgb.copy()
        part, cut = out[y0:y1, x0:x1], hole[y0:y1, x0:x1]
        left = cut.copy()
        for other, motion in _others(steps, k, len(frames)):
            if left.sum() < _ENOUGH * cut.sum():
                break
            self._take(part, left, rgb, hole, frames[other], holes[other], motion, box)
        step = steps[k - 1] if k else None
        if before is not None and step is not None:
            nothing = np.zeros_like(hole)
            found = align(rgb, hole, before, nothing, np.linalg.inv(step), box)
            if found is not None and found.error <= _WORST:
                left &= ~_steadied(part, cut, left, found)
        if left.any():
            unseen = np.zeros_like(hole)
            unseen[y0:y1, x0:x1] = left
            rows, columns = box_window(unseen, 0)
            where = unseen[rows, columns]
            region = Region(
                (columns.start, rows.start, columns.stop, rows.stop),
                where.astype(np.float32), where,
            )  # fmt: skip
            filled = fill_region(imaging.read(out), region, self._fill)
            out[rows, columns] = np.where(where[..., None], filled.rgb, out[rows, columns])
        return out

    @staticmethod
    def _take(
        part: Frame, left: Mask, rgb: Frame, hole: Mask, source: Frame, unknown: Mask,
        motion: NDArray[Any], box: Box,
    ) -> None:  # fmt: skip
        """Fill what is left of a part from one source, where it shows it; in place."""
        import cv2

        x0, y0, x1, y1 = box
        seen = cv2.warpPerspective(
            (~unknown).astype(np.uint8), motion, hole.shape[::-1],
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        )[y0:y1, x0:x1] > 0  # fmt: skip
        if (seen & left).sum() < _ENOUGH * hole.sum():
            return
        found = align(rgb, hole, source, unknown, motion, box)
        if found is None or found.error > _WORST:
            return
        new = left & found.valid
        part[new] = np.rint(found.rgb[new]).astype(np.uint8)
        left &= ~new


def _others(
    steps: Sequence[NDArray[Any] | None], k: int, count: int
) -> list[tuple[int, NDArray[Any]]]:
    """Frames to look into, the nearest first, and the motion of frame k's pixels into each."""
    motions: dict[int, NDArray[Any]] = {}
    for direction in (1, -1):
        motion, at = np.eye(3), k
        while 0 <= at + direction < count and abs(at + direction - k) <= _AWAY[-1]:
            step = steps[at] if direction > 0 else steps[at - 1]
            if step is None:  # another scene
                break
            motion = (step if direction > 0 else np.linalg.inv(step)) @ motion
            at += direction
            motions[at] = motion
    return [
        (k + side * away, motions[k + side * away])
        for away in _AWAY
        for side in (1, -1)
        if k + side * away in motions
    ]


def _steadied(part: Frame, cut: Mask, left: Mask, found: Aligned) -> Mask:
    """Mix what the frame before became into a part, in place; return where it was known.

    Where both agree, so that nothing changes that does not move; where nothing else is known, all.
    """
    import cv2

    inside = cut & found.valid
    colours = part.astype(np.float32)
    apart = cv2.GaussianBlur(np.abs(colours - found.rgb).mean(2), (0, 0), 2)
    weight = _STEADY * np.clip(2 - apart / _APART, 0, 1)
    weight = np.where(left, 1.0, weight) * inside
    part[:] = np.rint(colours + weight[..., None] * (found.rgb - colours))
    return np.asarray(inside)


def _box(hole: Mask) -> Box:
    rows, columns = box_window(hole, _MARGIN)
    return columns.start, rows.start, columns.stop, rows.stop
