"""What methods may ask of a model that draws a map for each prompt, word or picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lexiseg.protocols.model import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["EncodedImage", "PromptedModel"]


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
