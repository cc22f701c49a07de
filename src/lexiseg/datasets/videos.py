"""Data sets of videos: frames, and in some or all of them the objects that are followed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lexiseg import imaging
from lexiseg.datasets.annotations import Labels
from lexiseg.errors import InputError

__all__ = ["Video", "VideoDataset"]


@dataclass(frozen=True)
class Video:
    """One video: its frames in order, and the mask file of each, None where it has none.

    one_object: whatever is not 0 is the one object, 255 included; otherwise a value is an
    object's number, and 255 is none.
    """

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path | None, ...]
    one_object: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    def objects(self, frame: int) -> Labels:
        """Return the number of the object at each pixel of a frame, (H, W), 0 where there is none.

        Raises InputError for a frame without a mask.
        """
        path = self.masks[frame]
        if path is None:
            raise InputError(f"frame {frame} of {self.name} has no mask; the first frame may have")
        pixels = imaging.read_indices(path)
        if self.one_object:
            return (pixels > 0).astype(np.int32)
        return np.where(pixels == 255, 0, pixels).astype(np.int32)

    @property
    def num_objects(self) -> int:
        """How many objects are followed: the largest number in the first frame, as DAVIS counts."""
        return int(self.objects(0).max())


@dataclass(frozen=True)
class VideoDataset:
    """Videos in the order of the split's list; `len`, iteration and `[i]` as a tuple."""

    name: str
    title: str
    split: str
    videos: tuple[Video, ...]

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)

    def __getitem__(self, position: int) -> Video:
        return self.videos[position]

    def first(self, count: int) -> VideoDataset:
        """Return the set with its first `count` videos only."""
        return replace(self, videos=self.videos[:count])
