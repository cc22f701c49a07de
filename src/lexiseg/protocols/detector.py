"""What a stage or method may ask of a detector that finds boxes, or masks, for words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lexiseg.protocols.model import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.protocols.masker import RawMasks

__all__ = ["Detections", "Detector", "DetectorState", "ExampleDetector"]


@dataclass(frozen=True, eq=False)
class Detections:
    """N boxes that a detector found for words.

    boxes_xyxy: (N, 4) float32, in pixels of the picture, inside it. scores: (N,) in [0, 1].
    words: (N,) int64, the asked word that each box shows. masks: (N, ...) where the detector draws
    them itself, on the same rows.
    """

    boxes_xyxy: Tensor
    scores: Tensor
    words: Tensor
    masks: RawMasks | None = None

    def __len__(self) -> int:
        return len(self.boxes_xyxy)


class DetectorState(Protocol):
    """A picture made ready for any number of words."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """The picture's size."""


@runtime_checkable
class Detector(Model, Protocol):
    """Finds the things that words name, as boxes."""

    threshold: float  # what boxes must score, in [0, 1], as its authors have it

    def encode(self, rgb: NDArray[np.uint8]) -> Any:
        """Make a picture, (H, W, 3) uint8 RGB of any size, ready: a DetectorState."""

    def detect(self, state: Any, words: Sequence[str], *, threshold: float) -> Detections:
        """Return what scores at least ``threshold``, each box with its best word."""


@runtime_checkable
class ExampleDetector(Detector, Protocol):
    """A detector that draws masks itself, and finds what is like a thing in a box."""

    def detect_like(
        self, state: Any, word: str | None, boxes_xyxy: Tensor, wanted: Tensor, *, threshold: float
    ) -> Detections:
        """Return what is like the things in boxes, (N, 4) in pixels of the picture, all of word 0.

        wanted: (N,) bool; False for what is not meant. word: what they are, or None.
        """
