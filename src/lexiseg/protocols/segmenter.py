"""What a method is: it encodes an image, and segments it by words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from lexiseg.protocols.model import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.imaging import Picture, Source
    from lexiseg.prompts import Vocabulary
    from lexiseg.protocols.encoder import BackboneMaps
    from lexiseg.results import Segmentation, UnknownWord

__all__ = ["Background", "DenseMapper", "DenseScores", "Segmenter", "View", "WordLevel"]

Background = str | Sequence[str] | None

Encoded = TypeVar("Encoded")


@dataclass(frozen=True, eq=False)
class View(Generic[Encoded]):
    """An encoded image: further prompts cost no second encoding.

    encoded: what the models made of it, the method's own. method, models: the names of the method
    and of its models, which tell whose view it is. windows_xyxy: (N, 4) int64, the parts that were
    encoded, in pixels of the image. seconds: stage -> wall time of making it. around: a view of a
    larger part of the picture, and where in it this image lies: x0, y0, x1, y1, as shares of its
    sides; methods that score places mix what it says with what they see here.
    """

    picture: Picture
    encoded: Encoded
    method: str
    models: tuple[str, ...]
    windows_xyxy: NDArray[np.int64]
    seconds: Mapping[str, float]
    around: tuple[View[Encoded], tuple[float, float, float, float]] | None = None


@dataclass(frozen=True, eq=False)
class WordLevel:
    """One competition of a vocabulary whose words are parts and kinds of each other.

    class_ids: the words that it decides. probabilities: (C, ...), 0 for words that lie in others
    here, so that these hold what is theirs.
    """

    class_ids: tuple[int, ...]
    probabilities: Tensor


@dataclass(frozen=True, eq=False)
class DenseScores:
    """How probable each class of a vocabulary is at each place of an image.

    probabilities: (C, h, w) float32, on the model's device, summing to 1 over the classes: words,
    excluded words, background (``Vocabulary.num_classes``). input_hw: the size that the image was
    scaled to. cell: pixels of that size a cell; the last cells may reach over the border.
    size_hw: the image. unknown: the words that the model does not know; without a background
    they have probability 0 unless the method says otherwise. coarser: further competitions, for
    words with finer ones among the others, which stand beside these: person, of face and hair.
    decided: the classes that this competition decides; None: all.
    """

    probabilities: Tensor
    input_hw: tuple[int, int]
    cell: int
    size_hw: tuple[int, int]
    unknown: tuple[UnknownWord, ...] = ()
    coarser: tuple[WordLevel, ...] = ()
    decided: tuple[int, ...] | None = None

    @property
    def work_hw(self) -> tuple[int, int]:
        """``input_hw``, by the name that features have for it."""
        return self.input_hw


@runtime_checkable
class Segmenter(Protocol):
    """A method with its models: call it with an image and words."""

    name: str
    config: Any  # the method's own frozen dataclass

    def prepare(self, image: Source | View[Any], *, max_pixels: int | None = None) -> View[Any]:
        """Read and encode an image: a path, a PIL image or an (H, W, 3) uint8 RGB array."""

    def __call__(
        self,
        image: Source | View[Any],
        words: Any,
        *,
        background: Background = "default",
        keep_image: bool = False,
    ) -> Segmentation:
        """Return what the image shows of the words; some methods take points and boxes too."""


@runtime_checkable
class DenseMapper(Protocol):
    """A method that scores every place of an image: others build on its map."""

    name: str

    scorer: Model  # what scores places: an encoder, a decoder of prompts
    others: tuple[Model, ...]  # further models that it uses

    def prepare(self, image: Source | View[Any], *, max_pixels: int | None = None) -> View[Any]:
        """Read and encode an image."""

    def backbone_maps(self, view: View[Any]) -> tuple[BackboneMaps, ...]:
        """Return what backbones made of an image, for mask models that stand on the same one."""

    def segment(self, view: View[Any], vocabulary: Vocabulary) -> Segmentation:
        """Return what an encoded image shows of a vocabulary."""

    def score_map(self, view: View[Any], vocabulary: Vocabulary) -> DenseScores:
        """Return the probability of each class at each place of what ``prepare`` returned."""
