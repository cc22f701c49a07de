"""Edits of a video whose objects are known: a second way through it, some frames at a time.

What is removed is filled with what other frames show there; all else is done frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.edit.fills import FILLS
from lexiseg.edit.region import Region, Window, border_widths, box_window
from lexiseg.edit.steps import run_steps
from lexiseg.video.temporal_fill import TemporalFill
from lexiseg.video.tracking import TrackedFrame

if TYPE_CHECKING:
    from lexiseg.edit.steps import EditStep

__all__ = ["VideoEdit"]

_PART = 50  # frames
_MAX_BYTES = 256_000_000  # of the frames that wait, as they are in the video

Shown = tuple[NDArray[np.uint8], TrackedFrame, int]  # (H, W, 3), what is in it, its pts


@dataclass(frozen=True, eq=False)
class _Ready:
    """A frame after the steps before the removal.

    where: rows, columns and the weight there, (h, w) float32, of what comes in. frame: None where
    no step follows.
    """

    rgb: NDArray[np.uint8]
    where: tuple[Window, NDArray[np.float32]] | None
    frame: TrackedFrame | None
    pts: int

    def hole(self) -> NDArray[np.bool_]:
        """Where anything comes in, (H, W)."""
        out = np.zeros(self.rgb.shape[:2], np.bool_)
        if self.where is not None:
            out[self.where[0]] = self.where[1] > 0
        return out


class VideoEdit:
    """Steps over the frames of a video.

    size_hw: of frames. state: what `state_dict` gave after a part, to go on from.
    reach: frames before a part that are looked at; the same number after it.
    """

    def __init__(self, steps: Sequence[EditStep], size_hw: tuple[int, int], state: Any) -> None:
        removals = [step for step in steps if _takes_from_other_frames(step)]
        last = max((k for k, step in enumerate(steps) if step in removals), default=-1)
        # What was hidden by earlier steps, such as a blurred face, must not come in unhidden.
        self._first = [step for step in steps[: last + 1] if step not in removals]
        self._removals, self._then = removals, steps[last + 1 :]
        self.reach, self._part = 0, _PART
        self._fill: TemporalFill | None = None
        if removals:
            room = max(8, _MAX_BYTES // (3 * size_hw[0] * size_hw[1]))
            self.reach = min(TemporalFill.reach, room // 4)
            self._part = min(_PART, room // 2)
            config: Any = removals[-1].config
            self._fill = TemporalFill(config.fill, None if state is None else state["before"])

    def state_dict(self) -> dict[str, Any]:
        """Return what going on after a whole part takes."""
        return {"before": None if self._fill is None else self._fill.before}

    def parts(
        self, shown: Iterable[Shown], start: int
    ) -> Iterator[list[tuple[NDArray[np.uint8], int]]]:
        """Yield edited frames and their pts, some at a time, from frame `start` on.

        shown: from frame max(0, start - reach) on. start: where an earlier part ended.
        """
        offset = max(0, start - self.reach)
        held: list[_Ready] = []
        ended, source = False, iter(shown)
        while not ended or offset + len(held) > start:
            while not ended and offset + len(held) < start + self._part + self.reach:
                one = next(source, None)
                ended = one is None
                if one is not None:
                    held.append(self._ready(*one))
            stop = min(start + self._part, offset + len(held))
            if stop > start:
                yield self._edited(held, start - offset, stop - offset)
            gone = max(0, stop - self.reach - offset)
            held, offset, start = held[gone:], offset + gone, stop

    def _ready(self, rgb: NDArray[np.uint8], frame: TrackedFrame, pts: int) -> _Ready:
        rgb = _run(rgb, frame, self._first)
        weight = None
        for step in self._removals:
            words, masks = step.masks(frame.result) if len(frame.ids) else ((), None)
            if not words or masks is None:
                continue
            config: Any = step.config
            dilation, blur = border_widths(
                config.dilation, config.blur, masks.size_hw, generous=True
            )
            region = Region.from_mask(masks.union(), dilation=dilation, blur=blur)
            weight = np.zeros(masks.size_hw, np.float32) if weight is None else weight
            np.maximum(weight[region.window], region.weight, out=weight[region.window])
        where = None
        if weight is not None:
            window = box_window(weight > 0, 0)
            where = window, weight[window].copy()
        return _Ready(rgb, where, frame if self._then else None, pts)

    def _edited(
        self, held: Sequence[_Ready], start: int, stop: int
    ) -> list[tuple[NDArray[np.uint8], int]]:
        frames = [one.rgb for one in held]
        filled = frames[start:stop]
        if self._fill is not None:
            filled = self._fill.fill(frames, [one.hole() for one in held], start, stop)
        out = []
        for one, new in zip(held[start:stop], filled, strict=True):
            rgb = one.rgb if one.where is None else _mixed(one.rgb, new, *one.where)
            done = rgb if one.frame is None else _run(rgb, one.frame, self._then)
            out.append((done, one.pts))
        return out


def _takes_from_other_frames(step: EditStep) -> bool:
    """Whether a step removes what other frames may show the ground of."""
    config: Any = step.config
    return step.operation == "remove" and config.model is None and config.fill in ("auto", *FILLS)


def _mixed(
    old: NDArray[np.uint8], new: NDArray[np.uint8], window: Window, weight: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """New colours in a window, by their weight."""
    inside = weight > 0
    out = old.copy()
    before = old[window][inside].astype(np.float32)
    after = new[window][inside].astype(np.float32)
    out[window][inside] = np.rint(before + weight[inside][:, None] * (after - before))
    return out


def _run(
    rgb: NDArray[np.uint8], frame: TrackedFrame, steps: Sequence[EditStep]
) -> NDArray[np.uint8]:
    """A frame after the steps whose words it shows."""
    seg = frame.result
    there = [step for step in steps if any(name in seg.found for name in step.names)]
    if not there:
        return rgb
    edited: NDArray[np.uint8] = run_steps(imaging.read(rgb), seg, there).rgb
    return edited
