"""What a stage or method may ask of models that answer prompts: with boxes, or with maps."""

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

__all__ = [
    "Detections",
    "Detector",
    "DetectorState",
    "EncodedImage",
    "ExampleDetector",
    "PromptedModel",
]


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


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """A picture encoded by a ``PromptedModel``: any number of prompts cost no second encoding.

    value: the model's own. work_hw: the size that the picture was scaled to. cell: pixels of that
    size a cell of the maps; the last cells may reach over the border.
    """

    value: Any
    work_hw: tuple[int, int]
    cell: int


@runtime_checkable
class PromptedModel(Model, Protocol):
    """Draws a map of logits for each vector of what is asked for: of words, or of pictures.

    Vectors of both kinds lie in one space, so that they can be mixed.
    """

    templates: Sequence[str]  # sentences around a word that it was trained with
    example: Sequence[str]  # how example pictures were prepared: of "crop", "blur", "darken"

    def encode(
        self, rgb: NDArray[np.uint8], *, side: int | None = None, stretch: bool = True
    ) -> EncodedImage:
        """Encode a picture, (H, W, 3) uint8; ``side``: pixels it is scaled to, None as trained."""

    def words(self, sentences: Sequence[str]) -> Tensor:
        """Return the vectors of sentences, (N, C)."""

    def examples(self, pictures: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]]) -> Tensor:
        """Return the vector, (C,), of the one thing that prepared pictures show in their masks."""

    def maps(self, image: EncodedImage, vectors: Tensor) -> Tensor:
        """Return a map of logits for each vector, (N, h, w) float32; above 0: rather yes."""
