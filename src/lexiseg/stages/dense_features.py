"""Dense features of an image of any size: scaled, padded, and encoded by windows.

``Features`` averages the features of overlapping windows, so that all lie on one grid of cells.
``clip_windows`` keeps the cells of every window and averages logits, as SCLIP and its successors
do. Both are ``DenseFeatures``. On their grid, regions of a word that the background explains
nearly as well lose the word.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.imaging import pad_to_multiple, resize_image, working_size
from lexiseg.protocols import BackboneEncoder, BackboneMaps, Encoder
from lexiseg.stages.label_map import GuidedFilter, LabelMap, Window, guided_radius, label_map
from lexiseg.stages.mask_upsampling import bilinear_matrix
from lexiseg.stages.pamr import Pamr, resampled_pixels
from lexiseg.stages.word_vectors import WordVectors, class_probabilities

__all__ = [
    "DenseFeatures", "Features", "GridLike", "LabelRules", "boxes_in_image", "doubtful_places",
    "encode_image", "on_grid_of", "plan_windows", "whole_cells", "without_doubtful",
]  # fmt: skip

_LEAST = 1e-12  # probability: its logarithm is finite


class GridLike(Protocol):
    """Cells that lie on a scaled image of ``work_hw``, ``cell`` pixels each, from its corner."""

    @property
    def cell(self) -> int: ...

    @property
    def work_hw(self) -> tuple[int, int]: ...


@dataclass(frozen=True)
class LabelRules:
    """How pixels get their labels.

    scale: what cosines are multiplied with before the softmax. thresholds: (C,) in [0, 1]; a pixel
    whose winner scores less gets -1. refine: "none" interpolates, "guided" lets outlines follow the
    image, "pamr" lets logits flow between pixels of like colour. radius, epsilon: of the guided
    filter; see ``guided_radius``. pamr_steps, pamr_dilations: how often logits flow, and how many
    pixels far; (): as suits the features. area_threshold: classes that win at most this part of
    what the background does not win lose it; it is for window features.
    """

    scale: float
    thresholds: NDArray[np.float32] | None = None
    refine: str = "guided"
    radius: int | None = None
    epsilon: float = 1e-4
    pamr_steps: int = 10
    pamr_dilations: tuple[int, ...] = ()
    area_threshold: float = 0.0


class DenseFeatures(ABC):
    """Features of an image at one scale, as a value: further words cost no second encoding.

    size_hw: the image. work_hw: the size that it was scaled to.
    """

    size_hw: tuple[int, int]
    work_hw: tuple[int, int]

    @property
    @abstractmethod
    def raster(self) -> tuple[tuple[int, int], int]:
        """The size that cells count pixels of, and how many of them a cell has a side.

        As ``GuidedFilter`` and ``DenseScores`` take it: the grid may reach over that size.
        """

    @property
    @abstractmethod
    def windows_xyxy(self) -> NDArray[np.int64]:
        """The parts of the image that were encoded, in its pixels, (N, 4)."""

    @abstractmethod
    def grid_probabilities(
        self, words: WordVectors, scale: float, others: Sequence[Self] = ()
    ) -> Tensor:
        """Return the probability of each class in each cell, (C, h, w) float32.

        scale: what cosines are multiplied with. others: further scales of the same image, which
        are averaged on this grid.
        """

    def label_pixels(
        self,
        words: WordVectors,
        probabilities: Tensor,
        rgb: NDArray[np.uint8],
        rules: LabelRules,
        others: Sequence[Self] = (),
    ) -> LabelMap:
        """Return the label map of the image (H, W, 3).

        probabilities: what ``grid_probabilities`` returned of the same words and other scales. PAMR
        refines logits at the image's size.
        """
        work_hw, cell = self.raster
        if rules.refine != "pamr":
            return label_map(probabilities, self.guided_filter(rgb, rules), rules.thresholds)
        from lexiseg.stages.tiled_argmax import ArgmaxRules, CellLogits, argmax_labels

        # Logarithms of probabilities are logits but for a constant a pixel, which PAMR keeps.
        logits = probabilities.float().clamp_min(_LEAST).log()
        vertical, horizontal = (
            (bilinear_matrix(work, size) @ bilinear_matrix(cells, cells * cell)[:work]).float()
            for cells, work, size in zip(logits.shape[1:], work_hw, self.size_hw, strict=True)
        )
        classes = replace(words, class_ids=torch.arange(len(logits)))
        refine = self.pamr(rgb, rules, logits.device)
        argmax = ArgmaxRules(1.0, rules.thresholds, rules.area_threshold, refine)
        return argmax_labels([CellLogits(logits, vertical, horizontal)], classes, argmax)

    def guided_filter(self, rgb: NDArray[np.uint8], rules: LabelRules) -> GuidedFilter:
        """Return what enlarges maps on these cells to the image (H, W, 3)."""
        work_hw, cell = self.raster
        radius = guided_radius(rules.radius, cell) if rules.refine == "guided" else 0
        return GuidedFilter(rgb, work_hw, cell, radius, rules.epsilon)

    def pamr(self, rgb: NDArray[np.uint8], rules: LabelRules, device: torch.device) -> Pamr:
        """Return PAMR on the image (H, W, 3), as far as ``rules`` say or suits the cells."""
        pixels = resampled_pixels(rgb, self.work_hw).to(device)
        return Pamr(pixels, rules.pamr_steps, rules.pamr_dilations or self._pamr_dilations)

    @property
    def _pamr_dilations(self) -> tuple[int, ...]:
        """Half a cell and a cell, in pixels of the image, as (8, 16) are of CLIP's cells of 16.

        With cells of 4 pixels the papers' (8, 16) wash small things out: mean IoU of faces fell
        from 63 to 35, on train photos of CelebAMask.
        """
        (work_h, work_w), cell = self.raster
        side = cell * math.sqrt(self.size_hw[0] * self.size_hw[1] / (work_h * work_w))
        return tuple(sorted({max(1, round(side / 2)), max(1, round(side))}))


def boxes_in_image(
    windows: Sequence[Window], work_hw: tuple[int, int], size_hw: tuple[int, int]
) -> NDArray[np.int64]:
    """Return windows of a scaled image in pixels of the image, (N, 4) x0, y0, x1, y1."""
    boxes = np.array(windows, np.float64).reshape(-1, 4)[:, [1, 0, 3, 2]]
    scale = np.tile(np.array(size_hw[::-1]) / work_hw[::-1], 2)
    return np.asarray(np.rint(boxes * scale), np.int64)


@dataclass(frozen=True, eq=False)
class Features(DenseFeatures):
    """Features of an image on one grid.

    grid: (h, w, D), unit length. cell: pixels of the scaled image a cell; the last cells may reach
    over its border. windows: the parts that were encoded. maps: of the encoder's backbone, where
    the image was one window; a mask model that stands on the same backbone takes them.
    """

    grid: Tensor
    cell: int
    work_hw: tuple[int, int]
    size_hw: tuple[int, int]
    windows: tuple[Window, ...]
    maps: BackboneMaps | None = None

    @property
    def windows_xyxy(self) -> NDArray[np.int64]:
        return boxes_in_image(self.windows, self.work_hw, self.size_hw)

    @property
    def raster(self) -> tuple[tuple[int, int], int]:
        return self.work_hw, self.cell

    def grid_probabilities(
        self, words: WordVectors, scale: float, others: Sequence[Features] = ()
    ) -> Tensor:
        """Return the mean over all scales of the probabilities of each class, (C, h, w)."""
        total = self._probabilities(words, scale)
        for other in others:
            total = total + on_grid_of(self, other._probabilities(words, scale), other)
        return total / (1 + len(others))

    def _probabilities(self, words: WordVectors, scale: float) -> Tensor:
        cosines = self.grid.float() @ words.vectors.to(self.grid.device).T
        return class_probabilities(cosines.permute(2, 0, 1), words, scale)


def on_grid_of(other: GridLike, maps: Tensor, grid: GridLike) -> Tensor:
    """Return maps (K, h, w) on the cells of another grid of the same image, bilinear."""
    counts = (-(-side // other.cell) for side in other.work_hw)
    cells = (torch.arange(n) + 0.5 for n in counts)
    return _at(
        maps, grid, *(c * other.cell / side for c, side in zip(cells, other.work_hw, strict=True))
    )


def whole_cells(maps: Tensor, grid: GridLike) -> Tensor:
    """Return maps (K, h, w) on about as many cells that end where the image ends."""
    if all(side % grid.cell == 0 for side in grid.work_hw):
        return maps
    counts = (max(1, round(side / grid.cell)) for side in grid.work_hw)
    return _at(maps, grid, *((torch.arange(n) + 0.5) / n for n in counts))


def _at(maps: Tensor, grid: GridLike, rows: Tensor, columns: Tensor) -> Tensor:
    """Values at places given as parts of the image's height and width, (K, rows, columns)."""
    h, w = maps.shape[1:]  # cells, of which the last may reach over the image's border
    y = rows * (grid.work_hw[0] / grid.cell / h * 2) - 1
    x = columns * (grid.work_hw[1] / grid.cell / w * 2) - 1
    places = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None].to(maps.device)
    return F.grid_sample(
        maps[None], places, mode="bilinear", padding_mode="border", align_corners=False
    )[0]


def without_doubtful(probabilities: Tensor, background: int, presence: float) -> Tensor:
    """Return probabilities (C, h, w) in which doubtful regions have lost their winner.

    What is doubtful: see ``doubtful_places``. Other classes share what the winner had there.
    background: the class of all background words. presence: in [0, 1].
    """
    best, winner = probabilities.max(0)
    share = best / (best + probabilities[background]).clamp_min(torch.finfo(best.dtype).tiny)
    on_host = torch.stack([winner.to(share.dtype), share]).cpu().numpy()  # one wait for a device
    doubtful = doubtful_places(on_host[0].astype(np.int64), on_host[1], background, presence)
    if not doubtful.any():
        return probabilities
    there = torch.from_numpy(doubtful).to(probabilities.device)
    others = probabilities.scatter(0, winner[None], 0)
    rest = others.sum(0).clamp_min(torch.finfo(best.dtype).tiny)
    return torch.where(there, others / rest, probabilities)


def doubtful_places(
    winner: NDArray[np.int64], share: NDArray[np.float32], background: int, presence: float
) -> NDArray[np.bool_]:
    """Return the 8-connected regions of a winner whose mean share is below ``presence``, (h, w).

    winner: (h, w), the class of each place. share: (h, w), its probability as a part of its and the
    background's: what else is asked does not change it. Regions of the background are never meant.
    """
    import cv2

    out = np.zeros(winner.shape, np.bool_)
    for word in np.unique(winner[share < presence]).tolist():  # a region has such a place, or none
        if word == background:
            continue
        own = np.asarray(winner == word, np.uint8)
        count, parts = cv2.connectedComponents(own, connectivity=8)
        areas = np.bincount(parts.ravel(), minlength=count)
        means = np.bincount(parts.ravel(), share.ravel(), minlength=count) / np.maximum(areas, 1)
        weak = means < presence
        weak[0] = False
        out |= weak[parts]
    return out


def plan_windows(
    work_hw: tuple[int, int], window: int, overlap: float, multiple: int
) -> tuple[Window, ...]:
    """Windows of about ``window`` pixels a side that cover the scaled image.

    One window where it fits; else nearly equal steps with at least ``overlap`` of a window shared.
    Starts are multiples of ``multiple``, and so are sides (``window`` is rounded down), so that
    the cells of all windows lie on one grid; the last window may end sooner, with the image.
    """
    side = max(1, window // multiple)  # in units of ``multiple``, as are starts and steps
    step = max(1, int(side * (1 - overlap)))

    def spans(length: int) -> list[tuple[int, int]]:
        last = max(0, -(-length // multiple) - side)
        starts = np.linspace(0, last, -(-last // step) + 1).round().astype(int) * multiple
        return [(start, min(start + side * multiple, length)) for start in starts.tolist()]

    return tuple((y0, x0, y1, x1) for y0, y1 in spans(work_hw[0]) for x0, x1 in spans(work_hw[1]))


def encode_image(
    encoder: Encoder,
    rgb: NDArray[np.uint8],
    *,
    short_side: int,
    window: int,
    overlap: float = 0.25,
    flip: bool = False,
    batch: int = 4,
) -> Features:
    """Encode an image (H, W, 3), scaled to ``short_side``, by windows.

    Windows go through together, ``batch`` at a time; where they overlap, features are averaged
    with weights that fall towards a window's border. ``flip`` averages with the mirrored image's
    features.
    """
    size_hw = (rgb.shape[0], rgb.shape[1])
    work_hw = working_size(size_hw, short_side)
    image = resize_image(rgb, work_hw)
    multiple = encoder.size.multiple
    windows = plan_windows(work_hw, window, overlap, multiple)
    grid, cell = torch.empty(0), 1
    for start in range(0, len(windows), batch):
        part = windows[start : start + batch]
        views = [pad_to_multiple(image[y0:y1, x0:x1], multiple) for y0, x0, y1, x1 in part]
        pixels, maps = torch.from_numpy(np.stack(views)), None
        if len(windows) == 1 and isinstance(encoder, BackboneEncoder):
            maps = encoder.backbone_maps(pixels, work_hw)
            features = encoder.features(maps)
        else:
            features = encoder.dense(pixels)
        if flip:
            # The padding is mirrored too: so cells fall on cells.
            mirrored = encoder.dense(pixels.flip(2)).flip(2)
            features = F.normalize(features + mirrored, dim=-1)
        cell = pixels.shape[1] // features.shape[1]
        h, w = -(-work_hw[0] // cell), -(-work_hw[1] // cell)
        if len(windows) == 1:
            return Features(features[0, :h, :w], cell, work_hw, size_hw, windows, maps)
        if start == 0:
            grid = features.new_zeros(h, w, features.shape[-1])
        for values, (y0, x0, _, _) in zip(features, part, strict=True):
            _add(grid[y0 // cell :, x0 // cell :], values)
    return Features(F.normalize(grid, dim=-1), cell, work_hw, size_hw, windows)


def _add(grid: Tensor, values: Tensor) -> None:
    """Add a window's features (h, w, D), weighted, to the top left corner of ``grid``, in place.

    Cells of padding that reach over the grid are left out.
    """
    h, w = min(values.shape[0], grid.shape[0]), min(values.shape[1], grid.shape[1])
    weight = (_tent(h)[:, None] * _tent(w))[..., None]
    grid[:h, :w] += values[:h, :w] * weight.to(grid.device)


def _tent(length: int) -> Tensor:
    """Weights that fall from the middle to the border, above zero everywhere."""
    place = (torch.arange(length) + 0.5) / length
    return 0.05 + torch.minimum(place, 1 - place)
