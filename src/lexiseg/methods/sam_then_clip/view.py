"""A picture of which every mask is drawn and encoded: further words cost next to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.imaging import Picture
    from lexiseg.masks import Masks
    from lexiseg.stages.automatic_masks import Proposals

__all__ = ["View"]


@dataclass(frozen=True, eq=False)
class View:
    """A picture's masks, and what words are compared with.

    proposals: every mask. rest: one mask, of what none of them covers. vectors: (N + 1, D), from
    the crops of all and of the rest, or None; grid: (h, w, D) dense features, or None.
    makers: the names of encoder and masker. seconds: stage -> wall time of making it.
    """

    picture: Picture
    proposals: Proposals
    rest: Masks
    vectors: Tensor | None
    grid: Tensor | None
    makers: tuple[str, str]
    seconds: Mapping[str, float]

    @property
    def everything(self) -> Masks:
        """Every mask, whatever it shows."""
        return self.proposals.masks

    @property
    def windows_xyxy(self) -> NDArray[np.int64]:
        """What was looked at, in pixels of the picture: all of it, (1, 4)."""
        import numpy as np

        height, width = self.picture.size_hw
        return np.array([[0, 0, width, height]], np.int64)
