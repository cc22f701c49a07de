"""Masks of everything: a grid of points, filtered on the mask model's own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.masks import Masks
from lexiseg.protocols import Masker, MaskPrompts, RawMasks
from lexiseg.stages.lift import lift

__all__ = ["Proposals", "Settings", "generate"]


@dataclass(frozen=True)
class Settings:
    """How everything is asked for: SAM's automatic mask generator, its defaults.

    points_per_side: of the grid. quality, stability: what masks must reach, in [0, 1].
    stability_offset: logits between which a stable mask hardly grows. box_nms: IoU of boxes above
    which the better rated mask alone stays.
    """

    points_per_side: int = 32
    quality: float = 0.88
    stability: float = 0.95
    stability_offset: float = 1.0
    box_nms: float = 0.7


@dataclass(frozen=True, eq=False)
class Proposals:
    """N masks of everything. quality, stability: (N,) float32 in [0, 1]. prompts: points asked."""

    masks: Masks
    quality: NDArray[np.float32]
    stability: NDArray[np.float32]
    prompts: int


def generate(masker: Masker, rgb: NDArray[np.uint8], settings: Settings) -> Proposals:
    """Return the masks at a grid of points of a picture (H, W, 3), best rated first."""
    side = settings.points_per_side
    state = masker.encode(rgb)
    places = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = np.meshgrid(places * rgb.shape[1], places * rgb.shape[0])
    points = torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1)[:, None])
    prompts = MaskPrompts(points, torch.ones(points.shape[:2], dtype=torch.int64))

    def keep(raw: RawMasks) -> Tensor:
        good = raw.quality >= settings.quality
        return good & (_stability(raw.logits, settings) >= settings.stability)

    raw = masker.decode(state, prompts, candidates=3, keep=keep)
    raw = raw[torch.argsort(raw.quality, descending=True, stable=True)]
    raw = raw[(raw.logits > 0).flatten(1).any(1)]
    stability = _stability(raw.logits, settings)
    masks = lift(raw)
    boxes = masks.boxes_xyxy.astype(np.float64)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    alive = masks.areas > 0
    for i in np.flatnonzero(alive):
        if alive[i]:
            low = np.maximum(boxes[i, :2], boxes[i + 1 :, :2])
            high = np.minimum(boxes[i, 2:], boxes[i + 1 :, 2:])
            shared = (high - low).clip(0).prod(1)
            iou = shared / (area[i] + area[i + 1 :] - shared)
            alive[i + 1 :] &= iou <= settings.box_nms
    kept = np.flatnonzero(alive)
    return Proposals(
        masks[kept],
        raw.quality.float().clamp(0, 1).cpu().numpy()[kept],
        stability.cpu().numpy()[kept],
        side * side,
    )


def _stability(logits: Tensor, settings: Settings) -> Tensor:
    """IoU of the mask a little smaller and a little larger, (N,)."""
    smaller = (logits > settings.stability_offset).flatten(1).sum(1)
    larger = (logits > -settings.stability_offset).flatten(1).sum(1)
    return smaller / larger.clamp_min(1)
