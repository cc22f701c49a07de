"""Edits of a video whose objects are known: a second way through it, some frames at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.edit.steps import run_steps
from lexiseg.video.tracking import TrackedFrame

if TYPE_CHECKING:
    from lexiseg.edit.steps import EditStep

__all__ = ["edit_frame"]


def edit_frame(
    rgb: NDArray[np.uint8], frame: TrackedFrame, steps: Sequence[EditStep]
) -> NDArray[np.uint8]:
    """Return a frame, (H, W, 3), after the steps whose words it shows."""
    seg = frame.result
    there = [step for step in steps if any(name in seg.found for name in step.names)]
    if not there:
        return rgb
    edited: NDArray[np.uint8] = run_steps(imaging.read(rgb), seg, there).rgb
    return edited
