"""What every model tells about itself, how models are loaded, and what an inpainter is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Inpainter", "LoadOptions", "Model"]


@dataclass(frozen=True)
class LoadOptions:
    """Where models compute, and whether their weights may be downloaded.

    device: "cpu", "cuda", "cuda:1", "mps"; dtype: "fp32", "bf16", "fp16"; None: the best there is.
    pull: download weights that are missing. offline: never connect to anything; None: as the
    environment says (LEXISEG_OFFLINE, HF_HUB_OFFLINE).
    """

    device: str | None = None
    dtype: str | None = None
    pull: bool = False
    offline: bool | None = None


class Model(Protocol):
    """A network with weights, ready to be called."""

    name: str

    @property
    def device_name(self) -> str:
        """Where it computes: "cpu", "cuda:0"."""

    @property
    def dtype_name(self) -> str:
        """The number format that it computes in: "fp32", "bf16", "fp16"."""

    @property
    def sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256 of the weights in use."""


@runtime_checkable
class Inpainter(Model, Protocol):
    """Fills what was masked, by words where it takes any.

    side: pixels of the longer side that it was trained at; None: any will do. multiple: sides are
    multiples of it. generative: whether it makes things up by words.
    """

    side: int | None
    multiple: int
    generative: bool

    def fill(
        self,
        rgb: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        words: str,
        *,
        strength: float,
        steps: int,
        guidance: float,
        negative: str,
        seeds: Sequence[int],
        progress: Callable[[int, int], None] | None,
    ) -> NDArray[np.uint8]:
        """Return a picture a seed, (B, H, W, 3) uint8; it may differ outside of the mask too.

        rgb: (H, W, 3), sides in multiples of ``multiple``. mask: (H, W), what to fill.
        strength: how much of what was there is given up, in (0, 1]. progress: (step, steps).
        """
