"""Class masks in files: one channel, the class index of each pixel as its value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.errors import InputError

__all__ = ["Labels", "MaskFile", "Truth"]

Labels = NDArray[np.int32]


class Truth(Protocol):
    """Where the class mask of a photo comes from."""

    def labels(self, size_hw: tuple[int, int]) -> Labels:
        """Return the class indices, (H, W), of a photo of this size; ignored pixels included."""


@dataclass(frozen=True)
class MaskFile:
    """The class mask of one photo as a file (PNG, or whatever keeps values exactly)."""

    path: Path
    classes: tuple[str, ...]
    ignore_index: int

    def labels(self, size_hw: tuple[int, int]) -> Labels:
        """Read the mask, (H, W). Raises InputError where file, size or values do not fit."""
        labels = imaging.read_indices(self.path)
        if labels.shape != size_hw:
            swapped = "; height and width are swapped" if labels.shape == size_hw[::-1] else ""
            raise InputError(
                f"mask {self.path} is {_size(labels.shape)} and its photo {_size(size_hw)} "
                f"(width x height){swapped}; give masks the upright photo's size"
            )
        self._check(labels)
        return labels

    def _check(self, labels: Labels) -> None:
        values = np.unique(labels)
        wrong = values[(values < 0) | (values >= len(self.classes))]
        wrong = wrong[wrong != self.ignore_index]
        if len(wrong):
            shown = ", ".join(str(value) for value in wrong[:5]) + ("..." if len(wrong) > 5 else "")
            raise InputError(
                f"mask {self.path} holds {shown}, but there are {len(self.classes)} classes "
                f"(0 to {len(self.classes) - 1}) and ignore_index {self.ignore_index}; "
                "correct the mask or the classes in dataset.json"
            )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
