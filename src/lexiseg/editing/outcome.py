"""What an operation hands back."""

from __future__ import annotations

from dataclasses import dataclass

from lexiseg.editing.mark import EDITED
from lexiseg.imaging import Picture

__all__ = ["Outcome"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Edited pictures, the kind of source that they come from, and remarks for the reader."""

    pictures: tuple[Picture, ...]
    source: str = EDITED
    notes: tuple[str, ...] = ()
