"""An encoded picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.imaging import Picture
    from lexiseg.protocols import EncodedImage

__all__ = ["View"]


@dataclass(frozen=True, eq=False)
class View:
    """An encoded picture: further prompts cost no second encoding.

    model: the name of what encoded it. seconds: stage -> wall time of making it.
    """

    picture: Picture
    seen: EncodedImage
    model: str
    seconds: Mapping[str, float]

    @property
    def windows_xyxy(self) -> NDArray[np.int64]:
        """What was looked at, in pixels of the picture, (1, 4): all of it, at once."""
        import numpy as np

        height, width = self.picture.size_hw
        return np.array([[0, 0, width, height]], np.int64)
