"""What a stage or method may ask of a model. Models fulfil these; stages know nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from lexiseg.results import UnknownWord

__all__ = ["Encoder", "KnowsItsLimits", "LastBlock", "OpenEncoder", "SizePolicy"]


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


class LastBlock(Protocol):
    """The last attention of an encoder, opened: how it is read out decides what a cell says.

    Tokens are one that stands for the picture, then the cells by rows: T = 1 + h * w.
    """

    @property
    def tokens(self) -> Tensor:
        """What enters the block, (B, T, W) float32."""

    @property
    def q(self) -> Tensor:
        """Queries of the tokens, (B, heads, T, d)."""

    @property
    def k(self) -> Tensor:
        """Keys, (B, heads, T, d)."""

    @property
    def v(self) -> Tensor:
        """Values, (B, heads, T, d)."""

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Cells: rows and columns."""

    @property
    def kept(self) -> Mapping[int, Tensor]:
        """What earlier blocks returned, by their index."""

    @property
    def attention(self) -> Mapping[int, Tensor]:
        """Attention maps of earlier blocks, (B, heads, T, T), rows summing to 1, by their index."""

    def project(self, values: Tensor) -> Tensor:
        """The attention's output projection: (B, heads, T, d) -> (B, T, W)."""

    def complete(self, attended: Tensor) -> Tensor:
        """The rest of the block, where it has one: residual connections and MLP, (B, T, W)."""

    def finish(self, tokens: Tensor) -> Tensor:
        """Take tokens, (B, T, W) or without the first one, to the words' space, unit length.

        Returns (B, h, w, D) float32.
        """


@runtime_checkable
class OpenEncoder(Encoder, Protocol):
    """An encoder whose last attention can be read out in other ways than its own."""

    def trunk(
        self,
        rgb: Tensor,
        *,
        positions: str = "scale",
        ragged: str = "stretch",
        keep: Collection[int] = (),
        attention: Collection[int] = (),
    ) -> LastBlock:
        """Run everything before the last attention.

        rgb: (B, H, W, 3) uint8, of any size. positions: how position embeddings are resized,
        "scale" or "size". ragged: what becomes of sides that are no multiples of a cell:
        "stretch" leaves the remainder out, "pad" adds as much of the mean colour to both sides.
        keep, attention: blocks, counted from 0, of which to keep what they return, and their maps.
        """


@runtime_checkable
class KnowsItsLimits(Protocol):
    """An encoder that can say which words it does not know."""

    def unknown(self, words: Sequence[str]) -> tuple[UnknownWord, ...]:
        """Return those of the words that are far from all that it was trained on."""
