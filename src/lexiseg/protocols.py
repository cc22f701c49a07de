"""What a stage or method may ask of a model. Models fulfil these; stages know nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from lexiseg.results import UnknownWord

__all__ = ["Encoder", "KnowsItsLimits", "SizePolicy"]


@dataclass(frozen=True)
class SizePolicy:
    """How large a picture an encoder wants, in pixels.

    short_side: what the short side is scaled to. window: the largest side looked at in one pass;
    larger pictures are looked at through windows. multiple: sides are padded to multiples of it.
    """

    short_side: int
    window: int
    multiple: int


@runtime_checkable
class Encoder(Protocol):
    """Pictures and words in one space: cosines between them say what is where."""

    name: str
    scale: float  # what cosines are multiplied with before a softmax
    same_word: float  # words whose vectors have at least this cosine mean the same
    size: SizePolicy

    @property
    def device_name(self) -> str:
        """Where it computes: "cpu", "cuda:0"."""

    @property
    def dtype_name(self) -> str:
        """The number format that it computes in."""

    @property
    def sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256 of the weights in use."""

    def text(self, words: Sequence[str], templates: Sequence[str] = ("{}",)) -> Tensor:
        """Return the vectors of words, (K, D), unit length: the mean over the templates."""

    def dense(self, rgb: Tensor) -> Tensor:
        """Return the features of pictures, (B, h, w, D), unit length.

        rgb: (B, H, W, 3) uint8, sides in multiples of ``size.multiple``.
        """

    def pooled(self, rgb: Tensor, masks: Tensor | None = None) -> Tensor:
        """Return one vector a mask, (N, D), unit length; without masks one a picture, (B, D).

        rgb: (B, H, W, 3) uint8; with masks B is 1, and masks are (N, H, W) bool.
        """


@runtime_checkable
class KnowsItsLimits(Protocol):
    """An encoder that can say which words it does not know."""

    def unknown(self, words: Sequence[str]) -> tuple[UnknownWord, ...]:
        """Return those of the words that are far from all that it was trained on."""
