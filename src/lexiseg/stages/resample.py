"""Maps on the grid of a picture's features, at other places of the same picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.stages.encoder_windows import Features

__all__ = ["bilinear_matrix", "bilinear_taps", "on_grid_of", "whole_cells"]


def on_grid_of(other: Features, maps: Tensor, features: Features) -> Tensor:
    """Maps (K, h, w) on the grid of ``features`` -> on the grid of ``other``, bilinear."""
    cells = (torch.arange(side) + 0.5 for side in other.grid.shape[:2])
    return _at(
        maps,
        features,
        *(c * other.cell / side for c, side in zip(cells, other.work_hw, strict=True)),
    )


def whole_cells(maps: Tensor, features: Features) -> Tensor:
    """Maps (K, h, w) on the grid of ``features`` -> on cells that end where the picture ends."""
    if all(side % features.cell == 0 for side in features.work_hw):
        return maps
    counts = (max(1, round(side / features.cell)) for side in features.work_hw)
    return _at(maps, features, *((torch.arange(n) + 0.5) / n for n in counts))


def _at(maps: Tensor, features: Features, rows: Tensor, columns: Tensor) -> Tensor:
    """Values at places given as parts of the picture's height and width, (K, rows, columns)."""
    h, w = maps.shape[1:]  # cells, of which the last may reach over the picture's border
    y = rows * (features.work_hw[0] / features.cell / h * 2) - 1
    x = columns * (features.work_hw[1] / features.cell / w * 2) - 1
    places = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None].to(maps.device)
    return F.grid_sample(
        maps[None], places, mode="bilinear", padding_mode="border", align_corners=False
    )[0]


def bilinear_taps(given: int, wanted: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two places of ``given`` that each of ``wanted`` lies between, (wanted,) int64, and
    how far behind the first, (wanted,) float64: bilinear as torch has it, corners not aligned."""
    places = ((torch.arange(wanted, dtype=torch.float64) + 0.5) * given / wanted - 0.5).clamp_min(0)
    lower = places.long()
    return lower, (lower + 1).clamp_max(given - 1), places - lower


def bilinear_matrix(given: int, wanted: int) -> Tensor:
    """The same as a matrix, (wanted, given) float64."""
    lower, upper, part = bilinear_taps(given, wanted)
    matrix = torch.zeros(wanted, given, dtype=torch.float64)
    rows = torch.arange(wanted)
    matrix[rows, lower] += 1 - part
    matrix[rows, upper] += part
    return matrix
