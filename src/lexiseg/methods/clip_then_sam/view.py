"""An encoded picture, for the map and for the mask model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.imaging import Picture
    from lexiseg.protocols import MaskState

__all__ = ["View"]


@dataclass(frozen=True, eq=False)
class View:
    """An encoded picture: further words and clicks cost no second encoding.

    mapped: what the mapper's own ``prepare`` made. state: what the masker's ``encode`` made.
    makers: the names of both. seconds: stage -> wall time of making it.
    """

    picture: Picture
    mapped: Any
    state: MaskState
    makers: tuple[str, str]
    seconds: Mapping[str, float]

    @property
    def windows_xyxy(self) -> NDArray[np.int64]:
        """What the mapper looked at, in pixels of the picture, (N, 4)."""
        out: NDArray[np.int64] = self.mapped.windows_xyxy
        return out
