"""Data sets of phrases: photos, what is said of a part of them, and the mask of that part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lexiseg.datasets.instances import shape_masks
from lexiseg.errors import InputError

__all__ = [
    "CocoShape",
    "InclusivePolygons",
    "PhraseDataset",
    "PhraseSample",
    "PhraseShape",
    "RescaledShape",
    "TruncatedPolygons",
]


class PhraseShape(Protocol):
    """Where the mask of a phrase comes from."""

    def mask(self, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the pixels that the phrase means, (H, W) bool."""


@dataclass(frozen=True)
class PhraseSample:
    """One phrase about one photo. id: the phrase's own; image_id: the photo's.

    size_hw: of the photo as annotated, None where the set does not tell.
    """

    id: str
    image_id: str
    path: Path
    phrase: str
    shape: PhraseShape
    size_hw: tuple[int, int] | None = None

    def mask(self, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the pixels that are meant, (H, W) bool, of the photo's upright size.

        Raises InputError where the photo has another size than its annotation.
        """
        if self.size_hw is not None and size_hw != self.size_hw:
            raise InputError(
                f"photo {self.path} is {size_hw[1]}x{size_hw[0]} and was annotated at "
                f"{self.size_hw[1]}x{self.size_hw[0]} (width x height); leave it out"
            )
        return self.shape.mask(size_hw)


@dataclass(frozen=True)
class PhraseDataset:
    """Phrases with photos and masks, in the order of the file; a tuple in its behaviour."""

    name: str
    title: str
    split: str
    samples: tuple[PhraseSample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[PhraseSample]:
        return iter(self.samples)

    def __getitem__(self, position: int) -> PhraseSample:
        return self.samples[position]

    def first(self, count: int) -> PhraseDataset:
        """Return the set with its first `count` phrases only."""
        return replace(self, samples=self.samples[:count])


@dataclass(frozen=True)
class TruncatedPolygons:
    """The union of polygons of corners (x, y), drawn as PhraseCut's evaluator draws them.

    Corners lose their fractions and outlines belong to the mask (Pillow's polygon). CLIPSeg draws
    the same polygons with scikit-image, whose masks lack most of the outline.
    """

    polygons: tuple[tuple[tuple[float, float], ...], ...]

    def mask(self, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        canvas = Image.new("L", (size_hw[1], size_hw[0]), 0)
        for polygon in self.polygons:
            if len(polygon) >= 2:
                corners = [(int(x), int(y)) for x, y in polygon]
                ImageDraw.Draw(canvas).polygon(corners, outline=1, fill=1)
        return np.array(canvas, np.bool_)


@dataclass(frozen=True)
class RescaledShape:
    """A shape drawn at the size of its annotation, then scaled to the photo's: nearest pixels."""

    shape: PhraseShape
    size_hw: tuple[int, int]

    def mask(self, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        rows, columns = (
            np.arange(wanted) * own // wanted
            for own, wanted in zip(self.size_hw, size_hw, strict=True)
        )
        return self.shape.mask(self.size_hw)[np.ix_(rows, columns)]


@dataclass(frozen=True)
class CocoShape:
    """A COCO segmentation, drawn as pycocotools draws it."""

    segmentation: Any

    def mask(self, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        return shape_masks([self.segmentation], size_hw).mask(0)


@dataclass(frozen=True)
class InclusivePolygons:
    """The union of polygons of corners (x, y), drawn as scikit-image's `polygon2mask` does.

    A pixel belongs to a polygon if its centre (at whole numbers) lies inside or on an edge, by the
    even-odd rule; corners keep their fractions. So CLIPSeg draws PhraseCut.
    """

    polygons: tuple[tuple[tuple[float, float], ...], ...]

    def mask(self, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        out = np.zeros(size_hw, np.bool_)
        for polygon in self.polygons:
            corners = np.asarray(polygon, np.float64).reshape(-1, 2)
            if len(corners):
                _fill_inclusive(out, corners[:, 0], corners[:, 1])
        return out


def _fill_inclusive(out: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Set the pixels whose centres are inside or on the edge of one polygon.

    A centre is on an edge where the edges to its right and those to its left disagree whether it
    is inside (O'Rourke, Computational Geometry in C, 7.4).
    """
    first, last = max(0, int(np.ceil(y.min()))), min(out.shape[0] - 1, int(np.floor(y.max())))
    columns = np.arange(out.shape[1])
    for row in range(first, last + 1):
        x1, y1 = x[:, None] - columns, (y - row)[:, None]
        x0, y0 = np.roll(x1, 1, 0), np.roll(y1, 1, 0)
        above, below = ((y1 > 0) != (y0 > 0))[:, 0], ((y1 < 0) != (y0 < 0))[:, 0]
        crossing = above | below
        at = np.zeros_like(x1)
        rise = (y0 - y1)[crossing]
        at[crossing] = (x1 * y0 - x0 * y1)[crossing] / rise
        right = (at[above] > 0).sum(0) % 2 == 1
        left = (at[below] < 0).sum(0) % 2 == 1
        out[row] |= right | left | np.isin(columns, x[y == row])
