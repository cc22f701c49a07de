"""What comes in: another picture, brought to a size, its rim made to agree with what is there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.fills.membrane import membrane
from lexiseg.edit.region import Region
from lexiseg.imaging import Picture

__all__ = ["contain", "cover", "poisson_blend"]


def cover(picture: Picture, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture scaled to cover a size and cut at its middle, (h, w, 4) RGBA.

    Its proportions stay. Scaled with its alpha multiplied in, so that no hidden colour shows.
    """
    height, width = size_hw
    scale = max(height / picture.size_hw[0], width / picture.size_hw[1])
    scaled = _scaled(picture, scale, at_least=size_hw)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]


def contain(picture: Picture, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
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


def poisson_blend(
    new: NDArray[np.uint8], old: NDArray[np.uint8], where: Region, bleed: float
) -> NDArray[np.uint8]:
    """Return new colours whose rim agrees with the old ones (Pérez et al. 2003).

    new, old: (h, w, 3) over the region's box. What they differ by at the rim is spread over the
    region as smoothly as can be, and fades out with depth; with bleed 1 it does not fade, and new
    gradients stay exactly as they are.
    """
    import cv2

    inner = where.weight > 0
    if bleed == 0 or inner.all():
        return new
    difference = old.astype(np.float32) - new
    surface = membrane(np.where(inner[..., None], 0, difference), inner)
    if bleed < 1:
        away = cv2.distanceTransform(inner.astype(np.uint8), cv2.DIST_L2, 5)
        reach = max(float(away.max()) * bleed, 1.0)
        surface = surface * np.exp(-np.maximum(away - 1, 0) / reach)[..., None]
    settled = np.rint(np.clip(new + surface, 0, 255)).astype(np.uint8)
    return np.where(inner[..., None], settled, new)


def _scaled(
    picture: Picture, scale: float, at_least: tuple[int, int] = (1, 1)
) -> NDArray[np.uint8]:
    import cv2

    height, width = picture.size_hw
    size = (max(at_least[1], round(width * scale)), max(at_least[0], round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    if picture.alpha is None:
        rgb = cv2.resize(picture.rgb, size, interpolation=way)
        return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    share = picture.alpha.astype(np.float32)[..., None] / 255
    rgba = np.concatenate([picture.rgb * share, 255 * share], axis=2)
    out: NDArray[Any] = np.clip(cv2.resize(rgba, size, interpolation=way), 0, 255)
    out[..., :3] /= np.maximum(out[..., 3:] / 255, 1e-3)
    return np.asarray(np.rint(np.clip(out, 0, 255)), np.uint8)
