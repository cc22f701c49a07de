"""What editing may ask of a network that fills holes; found as `lexiseg.protocols.Inpainter`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from lexiseg.protocols.model import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Inpainter"]


@runtime_checkable
class Inpainter(Model, Protocol):
    """Fills what was masked, by words where it takes any.

    side: pixels of the longer side that it was trained at; None: any will do. multiple: sides are
    multiples of it. generative: whether it makes things up by words.
    """

    side: int | None
    multiple: int
    generative: bool

    def fill(
        self,
        rgb: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        words: str,
        *,
        strength: float,
        steps: int,
        guidance: float,
        negative: str,
        seeds: Sequence[int],
        progress: Callable[[int, int], None] | None,
    ) -> NDArray[np.uint8]:
        """Return a picture a seed, (B, H, W, 3) uint8; it may differ outside of the mask too.

        rgb: (H, W, 3), sides in multiples of ``multiple``. mask: (H, W), what to fill.
        strength: how much of what was there is given up, in (0, 1]. progress: (step, steps).
        """
