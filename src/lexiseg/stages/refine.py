"""Maps from a coarse grid to the picture's size, with boundaries that follow the picture.

Fast guided filter (He, Sun and Tang 2013; He and Sun 2015, arXiv 1505.00996): around every place
of the grid a map is a linear function of the picture's colours there; the function's coefficients,
not the map, are enlarged, so that edges of the picture become edges of the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Guide"]

Floats = NDArray[np.float32]
_WIDEST = 16_384  # cv2.remap counts in 16 bits


@dataclass(frozen=True)
class Guide:
    """The picture that maps follow.

    rgb: (H, W, 3) uint8. cells_hw: how many grid cells (fractions count) the picture covers, for
    grids that reach over its border. radius: of the windows, in cells; 0 enlarges without a guide.
    epsilon: the variance of colours, in [0, 1] squared, below which a window counts as flat.
    """

    rgb: NDArray[np.uint8]
    cells_hw: tuple[float, float]
    radius: int = 2
    epsilon: float = 1e-3

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]

    def fit(self, maps: Floats) -> Floats:
        """Maps (K, h, w) -> coefficients (K, 4, h, w): three for the colours and a constant."""
        maps = np.ascontiguousarray(maps, np.float32)
        if self.radius == 0:
            flat = np.zeros((len(maps), 4, *maps.shape[1:]), np.float32)
            flat[:, 3] = maps
            return flat
        colours = self._coarse(maps.shape[1:])
        mean = self._mean
        means = mean(colours)  # (h, w, 3)
        products = np.stack(
            [colours[..., i] * colours[..., j] for i in range(3) for j in range(3)], -1
        )
        h, w = maps.shape[1:]
        covariance = mean(products).reshape(h, w, 3, 3) - means[..., :, None] * means[..., None, :]
        covariance += self.epsilon * np.eye(3, dtype=np.float32)
        inverse = np.linalg.inv(covariance)
        out = np.empty((len(maps), 4, h, w), np.float32)
        for k, plane in enumerate(maps):
            level = mean(plane)
            cross = mean(colours * plane[..., None]) - means * level[..., None]
            slope = np.einsum("hwij,hwj->hwi", inverse, cross)
            constant = level - (slope * means).sum(-1)
            out[k, :3] = mean(slope.astype(np.float32)).transpose(2, 0, 1)
            out[k, 3] = mean(constant.astype(np.float32))
        return out

    def apply(self, coefficients: Floats, top: int, bottom: int) -> Iterator[Floats]:
        """Coefficients (K, 4, h, w) -> K maps of the picture's rows top:bottom, (rows, W)."""
        height, width = self.size_hw
        h = coefficients.shape[2]
        # Pixel centres of the band in grid coordinates; the grid's border values reach outwards.
        ys = (np.arange(top, bottom) + 0.5) * (self.cells_hw[0] / height) - 0.5
        xs = (np.arange(width) + 0.5) * (self.cells_hw[1] / width) - 0.5
        first = int(np.clip(np.floor(ys[0]), 0, h - 1))
        last = int(np.clip(np.ceil(ys[-1]), 0, h - 1)) + 1
        map_x = np.tile(xs.astype(np.float32), (bottom - top, 1))
        map_y = np.repeat((ys - first).astype(np.float32)[:, None], width, 1)
        band = self.rgb[top:bottom].astype(np.float32) / 255 if self.radius else None
        for planes in coefficients:
            if band is None:
                yield _enlarge(planes[3, first:last], map_x, map_y)
                continue
            stacked = np.ascontiguousarray(planes[:, first:last].transpose(1, 2, 0))
            full = _enlarge(stacked, map_x, map_y)
            yield (full[..., :3] * band).sum(-1) + full[..., 3]

    def _mean(self, values: Floats) -> Floats:
        import cv2

        side = 2 * self.radius + 1
        return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE))

    def _coarse(self, grid_hw: tuple[int, ...]) -> Floats:
        """The picture's mean colour in each cell, (h, w, 3) in [0, 1]."""
        import cv2

        h, w = grid_hw
        inside_h, inside_w = max(1, round(self.cells_hw[0])), max(1, round(self.cells_hw[1]))
        small = cv2.resize(self.rgb, (inside_w, inside_h), interpolation=cv2.INTER_AREA)
        small = small.reshape(inside_h, inside_w, 3)[:h, :w]
        pad = ((0, h - small.shape[0]), (0, w - small.shape[1]), (0, 0))
        return np.pad(small, pad, mode="edge").astype(np.float32) / 255


def _enlarge(plane: Floats, map_x: Floats, map_y: Floats) -> Floats:
    """Bilinear values of a plane (h, w) or (h, w, C) at the places of the maps, (rows, W)."""
    import cv2

    parts = [
        cv2.remap(
            plane, map_x[:, left : left + _WIDEST], map_y[:, left : left + _WIDEST],
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )
        for left in range(0, map_x.shape[1], _WIDEST)
    ]  # fmt: skip
    return np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts, 1), np.float32)
