"""What comes in: another picture, brought to a size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.imaging import Picture

__all__ = ["covering", "inside", "like"]


def covering(picture: Picture, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture scaled to cover a size and cut at its middle, (h, w, 4) RGBA.

    Its proportions stay. Scaled with its alpha multiplied in, so that no hidden colour shows.
    """
    height, width = size_hw
    scale = max(height / picture.size_hw[0], width / picture.size_hw[1])
    scaled = _scaled(picture, scale, at_least=size_hw)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]


def inside(picture: Picture, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture scaled to fit into a size, (h, w, 4) RGBA, at its bottom's middle.

    What is around it is transparent: a thing stands where the old one stood.
    """
    height, width = size_hw
    scale = min(height / picture.size_hw[0], width / picture.size_hw[1])
    scaled = _scaled(picture, scale)[:height, :width]
    out = np.zeros((height, width, 4), np.uint8)
    left = (width - scaled.shape[1]) // 2
    out[height - scaled.shape[0] :, left : left + scaled.shape[1]] = scaled
    return out


def like(
    rgb: NDArray[np.uint8],
    weight: NDArray[np.float32],
    old: NDArray[np.uint8],
    old_weight: NDArray[np.float32],
    strength: float,
) -> NDArray[np.uint8]:
    """Return colours moved towards the mean and spread of others (Reinhard et al. 2001, in CIELAB).

    rgb, old: (h, w, 3). Statistics count pixels by their weight, (h, w). strength: how far, in
    [0, 1].
    """
    import cv2

    if strength == 0 or not weight.any() or not old_weight.any():
        return rgb
    new_lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    old_lab = cv2.cvtColor(old.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    mean, spread = _statistics(new_lab, weight)
    to_mean, to_spread = _statistics(old_lab, old_weight)
    # A flat place says nothing about contrast, and a bright one must not be torn apart.
    factor = np.clip(to_spread / np.maximum(spread, 1e-3), 0.5, 2.0)
    moved = (new_lab - mean) * factor + to_mean
    mixed = (new_lab + strength * (moved - new_lab)).astype(np.float32)
    back = cv2.cvtColor(mixed, cv2.COLOR_Lab2RGB)
    return np.rint(np.clip(back, 0, 1) * 255).astype(np.uint8)


def _statistics(
    lab: NDArray[Any], weight: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    flat, share = lab.reshape(-1, 3).astype(np.float64), weight.reshape(-1).astype(np.float64)
    mean = np.average(flat, axis=0, weights=share)
    return mean, np.sqrt(np.average((flat - mean) ** 2, axis=0, weights=share))


def _scaled(
    picture: Picture, scale: float, at_least: tuple[int, int] = (1, 1)
) -> NDArray[np.uint8]:
    import cv2

    height, width = picture.size_hw
    size = (max(at_least[1], round(width * scale)), max(at_least[0], round(height * scale)))
    alpha = np.full((height, width), 255, np.uint8) if picture.alpha is None else picture.alpha
    share = alpha.astype(np.float32)[..., None] / 255
    rgba = np.concatenate([picture.rgb * share, 255 * share], axis=2)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    out: NDArray[Any] = np.clip(cv2.resize(rgba, size, interpolation=way), 0, 255)
    out[..., :3] /= np.maximum(out[..., 3:] / 255, 1e-3)
    return np.asarray(np.rint(np.clip(out, 0, 255)), np.uint8)
