"""The network that makes words into pixels: whether it is here, and what gets it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lexiseg import checkpoints
from lexiseg.edit.generative import load_inpainter
from lexiseg.errors import InputError, UnknownName
from lexiseg.protocols import Inpainter, LoadOptions

__all__ = ["Generator"]

_EXTRA = "pip install 'lexiseg[edit]'"


@dataclass
class Generator:
    """An inpainter that is loaded when it is first needed.

    name: of its checkpoint, or its folder. Raises UnknownName for another.
    """

    name: str
    load: LoadOptions
    network: Inpainter | None = None

    def __post_init__(self) -> None:
        names = [one for one in checkpoints.names() if checkpoints.get(one).kind == "inpainter"]
        if not Path(self.name).is_dir() and self.name not in names:
            raise UnknownName.among("inpainter", self.name, names)

    @property
    def missing(self) -> str | None:
        """The command that gets what is not here, None where all is."""
        if self.network is not None:
            return None
        parts = [] if find_spec("diffusers") else [_EXTRA]
        if not Path(self.name).is_dir() and not (
            self.load.pull or checkpoints.is_here(checkpoints.get(self.name))
        ):
            parts.append(f"lexiseg models pull {self.name}")
        return " && ".join(parts) or None

    def check(self, what: str) -> None:
        """Raise InputError where words cannot be made into pixels. what: the words' field."""
        if self.missing is not None:
            raise InputError(f"{what}: words need a model that makes pictures: {self.missing}")

    def get(self) -> Inpainter:
        """Return the network. Raises WeightsMissing, ExtraMissing."""
        if self.network is None:
            self.network = load_inpainter(self.name, self.load)
        return self.network

    def to_json(self) -> dict[str, Any]:
        """Return what a page wants to know."""
        return {"model": Path(self.name).name, "missing": self.missing}
