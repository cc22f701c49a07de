"""What a stage or method may ask of a model. Models fulfil these; stages know nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lexiseg._inpainter import Inpainter
from lexiseg._prompted import PromptedModel, Seen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.prompts import Vocabulary
    from lexiseg.results import Segmentation, UnknownWord

__all__ = [
    "Correlator", "DenseMapper", "Detections", "Detector", "DetectorState", "Encoder",
    "ExampleDetector", "Frame", "Inpainter", "KnowsItsLimits", "LastBlock", "MaskPrompts",
    "MaskState", "Masker", "OpenEncoder", "PromptedModel", "Proxy", "RawMasks", "Seen",
    "SizePolicy", "WholeAttention",
]  # fmt: skip


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
class OpenEncoder(Encoder, Protocol):
    """An encoder whose last attention can be read out in other ways than its own."""

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
class Proxy(Protocol):
    """Features of a picture that know no words, but which places belong together."""

    name: str
    patch: int  # pixels a cell

    @property
    def sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256 of the weights in use."""

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
class Correlator(Protocol):
    """Looks at a whole picture once and says which places look at which."""

    name: str

    @property
    def sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256 of the weights in use."""

    def whole_attention(self, rgb: NDArray[np.uint8]) -> WholeAttention:
        """Look at a picture, (H, W, 3) uint8 RGB."""


@runtime_checkable
class KnowsItsLimits(Protocol):
    """An encoder that can say which words it does not know."""

    def unknown(self, words: Sequence[str]) -> tuple[UnknownWord, ...]:
        """Return those of the words that are far from all that it was trained on."""


@runtime_checkable
class DenseMapper(Protocol):
    """A method whose results keep their score map: others can build on what it saw."""

    name: str

    def prepare(self, image: Any, *, max_pixels: int | None = None) -> Any:
        """Encode a picture: a value with `picture`, `seconds` and `windows_xyxy`."""

    def __call__(self, image: Any, words: Vocabulary) -> Segmentation:
        """Return label map and score map of a vocabulary on what `prepare` returned."""


@dataclass(frozen=True)
class Frame:
    """How a grid of mask logits lies on its picture.

    size_hw: the picture. input_hw: what it was scaled to. padded_hw: that with padding on the
    right and below; the grid covers it. A grid without padding has all of the input: then
    input_hw and padded_hw may both be the grid's own size.
    """

    size_hw: tuple[int, int]
    input_hw: tuple[int, int]
    padded_hw: tuple[int, int]


@dataclass(frozen=True, eq=False)
class MaskPrompts:
    """N prompts on one picture, each of which asks for one thing. What is not used is None.

    points_xy: (N, P, 2) float32, in pixels of the picture; the first pixel's centre is 0.5, 0.5.
    point_labels: (N, P) int64: 1 on the thing, 0 beside it, -1 no point (padding).
    boxes_xyxy: (N, 4) float32, in pixels of the picture.
    masks: (N, h, w) float32 logits on the masker's own grid, such as an earlier answer's.
    """

    points_xy: Tensor | None = None
    point_labels: Tensor | None = None
    boxes_xyxy: Tensor | None = None
    masks: Tensor | None = None

    def __len__(self) -> int:
        given = (self.points_xy, self.boxes_xyxy, self.masks)
        return next((len(part) for part in given if part is not None), 0)

    def __getitem__(self, key: slice) -> MaskPrompts:
        parts = (self.points_xy, self.point_labels, self.boxes_xyxy, self.masks)
        return MaskPrompts(*(None if part is None else part[key] for part in parts))


@dataclass(frozen=True, eq=False)
class RawMasks:
    """N masks as logits at the mask model's own resolution, on its device.

    logits: (N, h, w), above 0 inside. quality: (N,) in [0, 1], the model's own guess of the IoU.
    prompt: (N,) int64, the prompt that each answers; several candidates may answer one.
    """

    logits: Tensor
    quality: Tensor
    prompt: Tensor
    frame: Frame

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, key: Tensor | slice) -> RawMasks:
        return RawMasks(self.logits[key], self.quality[key], self.prompt[key], self.frame)


class MaskState(Protocol):
    """An encoded picture, as a value: any number of prompts cost no second encoding."""

    @property
    def frame(self) -> Frame:
        """How its masks lie on the picture."""


@runtime_checkable
class Masker(Protocol):
    """Draws the mask of whatever points, boxes or rough masks point at.

    min_quality, min_stability: what masks of a grid of points must reach, [0, 1], unless the user
    says otherwise: ratings of different models are not the same measure.
    """

    name: str
    min_quality: float
    min_stability: float

    @property
    def device_name(self) -> str:
        """Where it computes: "cpu", "cuda:0"."""

    @property
    def dtype_name(self) -> str:
        """The number format that it computes in."""

    @property
    def sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256 of the weights in use."""

    def encode(self, rgb: NDArray[np.uint8]) -> MaskState:
        """Encode a picture, (H, W, 3) uint8 RGB, of any size."""

    def decode(
        self,
        state: Any,  # what this masker's own ``encode`` returned: a MaskState
        prompts: MaskPrompts,
        *,
        candidates: int = 3,
        keep: Callable[[RawMasks], Tensor] | None = None,
    ) -> RawMasks:
        """Return the masks of all prompts, decoded in batches that fit cache or memory.

        candidates: 3 masks a prompt (part, whole, larger), by prompt then by candidate; or 1.
        keep: called with each batch; returns which masks survive, (N,) bool. What does not is
        dropped at once, so that memory does not grow with prompts.
        """


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
class Detector(Protocol):
    """Finds the things that words name, as boxes."""

    name: str
    threshold: float  # what boxes must score, in [0, 1], as its authors have it

    @property
    def device_name(self) -> str:
        """Where it computes: "cpu", "cuda:0"."""

    @property
    def dtype_name(self) -> str:
        """The number format that it computes in."""

    @property
    def sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256 of the weights in use."""

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
