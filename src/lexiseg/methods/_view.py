"""An encoded picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.imaging import Picture
    from lexiseg.stages.clip_windows import Windows
    from lexiseg.stages.encoder_windows import Features

    Seen: TypeAlias = Features | Windows

__all__ = ["View"]


@dataclass(frozen=True, eq=False)
class View:
    """An encoded picture: further words cost no second encoding.

    features: one set a scale, the finest first. encoder: the name of the one that made them.
    seconds: stage -> wall time of making it.
    """

    picture: Picture
    features: tuple[Seen, ...]
    encoder: str
    seconds: Mapping[str, float]

    @property
    def grids(self) -> tuple[Features, ...]:
        """Features on one grid, of encoders that are read out as they are."""
        from lexiseg.stages.encoder_windows import Features

        return tuple(f for f in self.features if isinstance(f, Features))

    @property
    def windows(self) -> tuple[Windows, ...]:
        """Features by windows, of encoders whose last attention is opened."""
        from lexiseg.stages.clip_windows import Windows

        return tuple(f for f in self.features if isinstance(f, Windows))

    @property
    def raster(self) -> tuple[tuple[int, int], int]:
        """The size of the picture that cells count pixels of, and how many a cell has."""
        if self.windows:
            return self.windows[0].grid_hw, 1
        return self.grids[0].work_hw, self.grids[0].cell

    @property
    def windows_xyxy(self) -> NDArray[np.int64]:
        """What was looked at, in pixels of the picture, (N, 4)."""
        import numpy as np

        boxes = [
            [x0 / f.work_hw[1], y0 / f.work_hw[0], x1 / f.work_hw[1], y1 / f.work_hw[0]]
            for f in self.features
            for y0, x0, y1, x1 in f.windows
        ]
        height, width = self.picture.size_hw
        corners = np.rint(np.array(boxes) * [width, height, width, height])
        return np.asarray(corners, np.int64)
