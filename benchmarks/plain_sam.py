"""Masks of everything in the plainest way, on transformers' SAM: what others are compared with.

Batches of 64 points, every mask enlarged to the picture, then filters, boxes and suppression.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_BATCH = 64


def load(folder: str, device: str | None) -> Any:
    """transformers' model from a folder as it saves one."""
    from transformers import SamModel

    return SamModel.from_pretrained(folder).eval().to(device or "cpu")


@torch.inference_mode()
def generate(model: Any, rgb: Any, side: int, quality: float, stability: float) -> int:
    """Return how many masks a grid of points leaves of a photo, (H, W, 3) uint8."""
    from lexiseg.models.sam.trunk import scaled_pixels

    target = model.config.vision_config.image_size
    pixels, input_hw = scaled_pixels(rgb, target)
    size_hw = rgb.shape[:2]
    features = model.get_image_embeddings(pixels.to(model.device))
    places = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(places * input_hw[1], places * input_hw[0])
    points = torch.tensor(np.stack([x, y], -1).reshape(1, -1, 1, 2), dtype=torch.float32)
    points = points.to(model.device)
    kept, boxes, scores = [], [], []
    for start in range(0, points.shape[1], _BATCH):
        batch = points[:, start : start + _BATCH]
        out = model(image_embeddings=features, input_points=batch)
        rating = out.iou_scores[0].flatten()
        masks = out.pred_masks[0].flatten(0, 1)[:, None]
        masks = F.interpolate(masks, (target, target), mode="bilinear", align_corners=False)
        masks = masks[..., : input_hw[0], : input_hw[1]]
        masks = F.interpolate(masks, size_hw, mode="bilinear", align_corners=False)[:, 0]
        good = rating > quality
        masks, rating = masks[good], rating[good]
        steady = (masks > 1).sum((1, 2)) / (masks > -1).sum((1, 2)).clamp_min(1)
        masks, rating = masks[steady >= stability] > 0, rating[steady >= stability]
        boxes.append(_boxes(masks))
        scores.append(rating)
        kept += [np.packbits(mask.cpu().numpy()) for mask in masks]
    return len(greedy(torch.cat(boxes), torch.cat(scores), 0.7))


def greedy(boxes: Tensor, scores: Tensor, threshold: float) -> list[int]:
    """Numbers of the boxes that stay: best first, ties in order, IoU at most the threshold."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    gone = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    kept = []
    for i in scores.sort(descending=True, stable=True).indices.tolist():
        if gone[i]:
            continue
        kept.append(i)
        low = torch.maximum(boxes[i, :2], boxes[:, :2])
        high = torch.minimum(boxes[i, 2:], boxes[:, 2:])
        shared = (high - low).clamp_min(0).prod(1)
        gone |= shared / (area[i] + area - shared) > threshold
    return kept


def _boxes(masks: Tensor) -> Tensor:
    """First and last pixel along each side, (N, 4); an empty mask is 0, 0, 0, 0."""
    out = []
    for axis, size in ((1, masks.shape[2]), (2, masks.shape[1])):
        used = masks.any(axis)
        places = torch.arange(size, device=masks.device)
        out.append(torch.where(used, places, size).amin(1))
        out.append(torch.where(used, places, -1).amax(1))
    x0, x1, y0, y1 = out
    boxes = torch.stack([x0, y0, x1, y1], 1).float()
    return boxes * (x1 >= x0)[:, None]
