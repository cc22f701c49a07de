"""What a stage or method may ask of a promptable mask model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lexiseg.protocols.encoder import BackboneMaps
from lexiseg.protocols.model import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Frame", "MaskPrompts", "MaskState", "Masker", "RawMasks"]


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
class Masker(Model, Protocol):
    """Draws the mask of whatever points, boxes or rough masks point at.

    min_quality, min_stability: what masks of a grid of points must reach, [0, 1], unless the user
    says otherwise: ratings of different models are not the same measure.
    """

    min_quality: float
    min_stability: float

    def encode(self, rgb: NDArray[np.uint8], maps: Iterable[BackboneMaps] = ()) -> MaskState:
        """Encode a picture, (H, W, 3) uint8 RGB, of any size.

        maps: what an encoder's backbone made of the same picture. A masker that would run the same
        backbone on the same pixels takes them, and the result is the same; others ignore them.
        """

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
        keep: called with each batch; returns which masks survive, (N,) bool, or their numbers,
        int64, for which a GPU need not be waited for. What does not survive is dropped at once,
        so that memory does not grow with prompts.
        """
