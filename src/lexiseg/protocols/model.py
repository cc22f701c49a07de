"""What every model tells about itself, and how models are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["LoadOptions", "Model"]


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
