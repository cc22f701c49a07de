"""EditResult: a picture after one or more edits, and how it came about."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.edit.xmp import digital_source, packet, steps_of, strongest
from lexiseg.errors import InputError
from lexiseg.imaging import Picture

__all__ = ["EditResult", "Step"]

_MAX_STEPS = 40  # JPEG has room for 64 KB of XMP


@dataclass(frozen=True)
class Step:
    """One edit. config: the fields of the operation's Config, as JSON can hold them.

    source: IPTC's digital source type. share: the part of the picture that was meant, in [0, 1].
    words: what the region was asked by, where words found it.
    """

    operation: str
    config: Mapping[str, Any]
    source: str
    share: float
    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        return {
            "operation": self.operation,
            "words": list(self.words),
            "share": round(self.share, 6),
            "config": dict(self.config),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class EditResult:
    """Edited pictures: one, or several where an operation gives several, such as cut-outs.

    steps: the edits that led here, first one first.
    """

    pictures: tuple[Picture, ...]
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not self.pictures or not self.steps:
            raise InputError("an edit gives at least one picture and has at least one step")

    def __repr__(self) -> str:
        height, width = self.picture.size_hw
        done = " + ".join(step.operation for step in self.steps)
        return f"EditResult({done}: {len(self.pictures)} of {height} x {width})"

    @property
    def picture(self) -> Picture:
        """The edited picture, or the first of several."""
        return self.pictures[0]

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """Colours of the picture, (H, W, 3) uint8."""
        return self.picture.rgb

    @property
    def rgba(self) -> NDArray[np.uint8]:
        """Colours and opacity of the picture, (H, W, 4) uint8, straight (not premultiplied)."""
        alpha = self.picture.alpha
        if alpha is None:
            alpha = np.full(self.picture.size_hw, 255, np.uint8)
        return np.dstack([self.rgb, alpha])

    @property
    def source(self) -> str:
        """IPTC's digital source type of the whole: generated parts outweigh all else."""
        before = digital_source(self.picture.xmp)
        return strongest(before, *(step.source for step in self.steps))

    def to_json(self) -> dict[str, Any]:
        """Return how the picture came about, as JSON values."""
        height, width = self.picture.size_hw
        return {
            "pictures": len(self.pictures),
            "height": height,
            "width": width,
            "digital_source_type": self.source,
            "steps": [step.to_json() for step in self.steps],
        }

    def save(
        self, path: str | os.PathLike[str], number: int = 0, *, origin: str | None = None
    ) -> Path:
        """Write picture `number` as the kind of file that the name ends in. Returns the path.

        origin: what tells results of one picture from those of others, kept in the file.

        Whatever the picture carries is kept, as far as that kind holds it: see `imaging.encode` and
        `imaging.check_target`. Its XMP packet tells of the steps too, those of earlier edits of the
        file among them, and whether parts were generated. Raises OutputError.
        """
        imaging.write(path, self.pictures[number], xmp=self._xmp(number, origin))
        return Path(path)

    def to_bytes(self, suffix: str, number: int = 0) -> bytes:
        """Return the file that `save` would write under a name with this suffix, such as ".png"."""
        name = f"picture{suffix}"
        return imaging.encode(name, self.pictures[number], xmp=self._xmp(number, None))

    def _xmp(self, number: int, origin: str | None) -> bytes:
        before = self.pictures[number].xmp
        steps = [*steps_of(before), *(step.to_json() for step in self.steps)]
        return packet(steps[-_MAX_STEPS:], self.source, before=before, origin=origin)
