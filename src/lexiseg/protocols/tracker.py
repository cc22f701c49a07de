"""What a run over a video may ask of a model that follows objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lexiseg.protocols.model import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.masks import Masks

__all__ = ["Tracker", "Tracks"]


@dataclass(frozen=True, eq=False)
class Tracks:
    """Where N objects are in a frame; an object that is not seen has an empty mask.

    ids: (N,), as they were given. scores: (N,) float32 in [0, 1], how sure the tracker is.
    features: (N, D) float32, unit length, what each looks like; None where a tracker has none.
    """

    ids: tuple[int, ...]
    masks: Masks
    scores: NDArray[np.float32]
    features: NDArray[np.float32] | None = None


@runtime_checkable
class Tracker(Model, Protocol):
    """Carries masks from frame to frame. What it remembers is a value, of bounded size."""

    def start(self, rgb: NDArray[np.uint8]) -> Any:
        """Return the memory of a first frame, (H, W, 3) uint8 RGB, without any object."""

    def step(self, memory: Any, rgb: NDArray[np.uint8]) -> tuple[Tracks, Any]:
        """Return where the objects are in the next frame, and the memory with it."""

    def add(self, memory: Any, masks: Masks, ids: Sequence[int]) -> Any:
        """Return the memory with objects as they are in the frame that came last.

        An id that is followed already gets the new mask.
        """

    def features(self, memory: Any) -> NDArray[np.float32] | None:
        """Return what the objects look like, (N, D) float32 of unit length, in the order of ids.

        None of a tracker that cannot tell.
        """

    def drop(self, memory: Any, ids: Sequence[int]) -> Any:
        """Return the memory without some objects."""

    def state_dict(self, memory: Any) -> Any:
        """Return what of a memory its last frame does not tell, so that a run can go on later.

        Dicts, lists, tuples, None, numbers, texts, arrays and tensors, nested at will.
        """

    def load_state_dict(self, rgb: NDArray[np.uint8], state: Any) -> Any:
        """Return the memory whose `state_dict` it is; rgb: the frame that came last, (H, W, 3)."""
