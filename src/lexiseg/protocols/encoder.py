"""What a stage or method may ask of an encoder of pictures and words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lexiseg.protocols.model import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.results import UnknownWord

__all__ = [
    "AttentionEncoder",
    "AttentionSource",
    "BackboneEncoder",
    "BackboneMaps",
    "Encoder",
    "LastBlock",
    "Proxy",
    "SizePolicy",
    "VocabularyAware",
    "WholeAttention",
    "WordNeighbours",
]


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
class Encoder(Model, Protocol):
    """Pictures and words in one space: cosines between them say what is where."""

    scale: float  # what cosines are multiplied with before a softmax
    synonym_threshold: float  # words whose vectors have at least this cosine mean the same
    presence: float  # how sure, on average, a region must be of its word against the background
    size: SizePolicy

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


@dataclass(frozen=True, eq=False)
class BackboneMaps:
    """What a backbone made of one picture, for all models that stand on it.

    backbone: the net that made it, and dtype_name the number format: "fp32", "bf16", "fp16".
    input_hw: the size that the picture was scaled to, padded_hw: that with padding on the right and
    below. value: the backbone's own.
    """

    backbone: object
    dtype_name: str
    input_hw: tuple[int, int]
    padded_hw: tuple[int, int]
    value: Any


@runtime_checkable
class BackboneEncoder(Protocol):
    """An encoder whose backbone a mask model may share: one run of it serves both.

    ``features(backbone_maps(rgb, input_hw))`` is what ``dense(rgb)`` returns.
    """

    def backbone_maps(self, rgb: Tensor, input_hw: tuple[int, int]) -> BackboneMaps:
        """Run the backbone on a scaled and padded picture, (1, H, W, 3) uint8.

        input_hw: how much of it is the picture; the rest is padding.
        """

    def features(self, maps: BackboneMaps) -> Tensor:
        """Return the features of what ``backbone_maps`` returned, (1, h, w, D), unit length."""


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
    def index(self) -> int:
        """Its place among the encoder's blocks, counted from 0: as many came before it."""

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

    def finish(self, tokens: Tensor, grid_hw: tuple[int, int] | None = None) -> Tensor:
        """Take tokens, (B, T, W) or without the first one, to the words' space, unit length.

        grid_hw: of the tokens, where they lie on another grid. Returns (B, h, w, D) float32.
        """


@runtime_checkable
class AttentionEncoder(Encoder, Protocol):
    """An encoder whose last attention can be read out in other ways than its own.

    num_blocks: blocks with attention, the last one, which is opened, included.
    """

    @property
    def num_blocks(self) -> int: ...

    @property
    def mean_colour(self) -> tuple[float, float, float]:
        """What becomes zeros when pixels are normalised: red, green, blue in [0, 1]."""

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
class Proxy(Model, Protocol):
    """Features of a picture that know no words, but which places belong together."""

    patch: int  # pixels a cell

    def cells(self, rgb: Tensor) -> Tensor:
        """Return features (B, h, w, C) float32 of pictures (B, H, W, 3), values from 0 to 255.

        Sides are multiples of ``patch``.
        """


class WholeAttention(Protocol):
    """The last attention of a model that saw a whole picture, on its own grid."""

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Cells that lie on the picture: rows and columns, N in all."""

    @property
    def v(self) -> Tensor:
        """Values, (heads, N, d) float32."""

    def attention(self, head: int) -> Tensor:
        """One head's map, (N, N) float32; rows sum to at most 1: padding took the rest."""


@runtime_checkable
class AttentionSource(Model, Protocol):
    """Looks at a whole picture once and says which places look at which."""

    def whole_attention(self, rgb: NDArray[np.uint8]) -> WholeAttention:
        """Look at a picture, (H, W, 3) uint8 RGB."""


@runtime_checkable
class VocabularyAware(Protocol):
    """An encoder that can say which words it does not know."""

    def unknown(self, words: Sequence[str]) -> tuple[UnknownWord, ...]:
        """Return those of the words that are far from all that it was trained on."""


@runtime_checkable
class WordNeighbours(Protocol):
    """An encoder that can say which word that it knows means nearly the same."""

    @property
    def known_words(self) -> tuple[str, ...]:
        """The words that it knows best: those that had masks."""

    def nearest_known(self, words: Sequence[str]) -> tuple[tuple[str, float], ...]:
        """Return the nearest known word of each, and the cosine of their meanings."""
