"""Annotations of data sets: class masks as images, and COCO's JSON files."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets.card import read_json
from lexiseg.errors import InputError
from lexiseg.masks import Masks

__all__ = ["InstanceLabels", "Labels", "MaskFile", "Truth", "fill_polygons", "read_instances"]


Labels = NDArray[np.int32]


class Truth(Protocol):
    """Where the class mask of a photo comes from."""

    def labels(self, size_hw: tuple[int, int]) -> Labels:
        """Return the class indices, (H, W), of a photo of this size; ignored pixels included."""


@dataclass(frozen=True)
class MaskFile:
    """The class mask of one photo as a file (PNG, or whatever keeps values exactly).

    values: what a pixel's value stands for, as a class index or `ignore_index` in the place of the
    value, -1 for values that no mask of the set has; None where values are class indices.
    """

    path: Path
    classes: tuple[str, ...]
    ignore_index: int
    values: tuple[int, ...] | None = None

    def labels(self, size_hw: tuple[int, int]) -> Labels:
        """Read the mask, (H, W). Raises InputError where file, size or values do not fit."""
        return self.indices(imaging.read_indices(self.path), size_hw)

    def indices(self, pixels: Labels, size_hw: tuple[int, int]) -> Labels:
        """Return the class indices, (H, W), that the file's values stand for; InputError."""
        if pixels.shape != size_hw:
            swapped = "; height and width are swapped" if pixels.shape == size_hw[::-1] else ""
            raise InputError(
                f"mask {self.path} is {_size(pixels.shape)} and its photo {_size(size_hw)} "
                f"(width x height){swapped}; give masks the upright photo's size"
            )
        if self.values is None:
            self._check(pixels)
            return pixels
        table = np.array([*self.values, -1], np.int32)
        outside = (pixels < 0) | (pixels >= len(self.values))
        labels: Labels = table[np.where(outside, len(self.values), pixels)]
        if (labels < 0).any():
            allowed = [value for value, index in enumerate(self.values) if index >= 0]
            raise InputError(
                f"mask {self.path} holds {_some(np.unique(pixels[labels < 0]))}, but masks of this "
                f"set hold only {_ranges(allowed)}; take the published file again"
            )
        return labels

    def _check(self, labels: Labels) -> None:
        values = np.unique(labels)
        wrong = values[(values < 0) | (values >= len(self.classes))]
        wrong = wrong[wrong != self.ignore_index]
        if len(wrong):
            raise InputError(
                f"mask {self.path} holds {_some(wrong)}, but there are {len(self.classes)} classes "
                f"(0 to {len(self.classes) - 1}) and ignore_index {self.ignore_index}; "
                "correct the mask or the classes in dataset.json"
            )


def _some(values: NDArray[np.int32]) -> str:
    return ", ".join(str(value) for value in values[:5]) + ("..." if len(values) > 5 else "")


def _ranges(values: list[int]) -> str:
    """Numbers in words: "0 to 20, 255"."""
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][-1] == value - 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:4]]
    return ", ".join(shown) + (", ..." if len(runs) > 4 else "")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


@dataclass(frozen=True)
class InstanceLabels:
    """The class mask of one photo, drawn from its instances.

    `shapes` are pairs of class index and COCO segmentation (polygons in pixels of the photo, or
    an RLE); pixels outside every shape get `background_index`.
    """

    size_hw: tuple[int, int]
    shapes: tuple[tuple[int, Any], ...]
    background_index: int

    def labels(self, size_hw: tuple[int, int]) -> Labels:
        """Draw the class indices, (H, W), small instances over large ones where they overlap."""
        if size_hw != self.size_hw:
            raise InputError(
                f"instances.json gives (height, width) {self.size_hw} for a photo of {size_hw}; "
                "scale the annotations to the upright photo"
            )
        drawn = [(index, _mask(segmentation, size_hw)) for index, segmentation in self.shapes]
        drawn.sort(key=lambda pair: -np.count_nonzero(pair[1]))
        labels = np.full(size_hw, self.background_index, np.int32)
        for index, mask in drawn:
            labels[mask] = index
        return labels


def read_instances(
    path: Path, classes: tuple[str, ...], background_index: int
) -> dict[str, InstanceLabels]:
    """Read a COCO file; return what to draw by photo id (the file name's stem).

    Categories are matched to `classes` by name. Raises InputError for a file that is not COCO's
    format or names a category that is no class.
    """
    content = read_json(path)
    try:
        index_of = {
            category["id"]: _class_index(path, category["name"], classes)
            for category in content["categories"]
        }
        shapes = defaultdict(list)
        for annotation in content["annotations"]:
            shape = (index_of[annotation["category_id"]], annotation["segmentation"])
            shapes[annotation["image_id"]].append(shape)
        return {
            PurePosixPath(image["file_name"]).stem: InstanceLabels(
                (image["height"], image["width"]), tuple(shapes[image["id"]]), background_index
            )
            for image in content["images"]
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not COCO's instances format (at {error}); it needs images, annotations "
            "and categories"
        ) from error


def fill_polygons(polygons: list[list[float]], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels inside any of the polygons, (H, W); see `Masks.from_polygons`."""
    return Masks.from_polygons([polygons], size_hw).mask(0)


def _mask(segmentation: Any, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    if isinstance(segmentation, dict):
        return Masks.from_rle([segmentation]).mask(0)
    return fill_polygons(segmentation, size_hw)


def _class_index(path: Path, name: str, classes: tuple[str, ...]) -> int:
    if name not in classes:
        raise InputError(
            f"{path} has the category {name!r}, which is no class in dataset.json; add it there"
        )
    return classes.index(name)
