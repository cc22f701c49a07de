"""Settings of the dense method, and the presets that hold the papers' settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lexiseg.errors import OptionError
from lexiseg.methods._config import DenseConfig, check_choice, check_range
from lexiseg.methods.dense.papers import PAPERS

__all__ = ["PRESETS", "Config"]

_READOUTS = ("clearclip", "maskclip", "naclip", "sclip", "vanilla")


@dataclass(frozen=True)
class Config(DenseConfig):
    """encoder: a checkpoint that is an encoder.
    overlap: of windows, the part that neighbours share at least.
    readout: of CLIP's last attention: "vanilla", "maskclip", "sclip", "clearclip", "naclip"; None:
        "naclip".
    layers: read these layers of CLIP, counted from 1, and average them, as in (6, 12, 18, 24) of
        ViT-L/14; (): the last one.
    ragged: where a window of CLIP is not whole cells: "stretch" leaves the remainder out, "pad"
        fills it.
    """

    encoder: str = "tiny"
    overlap: float = 0.25
    readout: str | None = None
    layers: tuple[int, ...] = ()
    ragged: str = "stretch"

    def check(self) -> None:
        """Raise OptionError for a value out of its range, UnknownName for no choice."""
        if self.readout is not None:
            check_choice(self, "readout", _READOUTS)
        check_choice(self, "ragged", ("stretch", "pad"))
        check_range(self, 0, 0.9, "overlap")
        if any(layer < 1 for layer in self.layers) or len(set(self.layers)) != len(self.layers):
            raise OptionError(f"layers are {self.layers}; count from 1, and name each once")


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"short_side": 224},
    "balanced": {},
    "quality": {"scales": (0.75, 1.0, 1.5)},
    **PAPERS,
}
