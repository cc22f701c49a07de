"""How well label maps agree with the truth, with intervals over photos; how good edits are."""

from __future__ import annotations

from lexiseg.metrics.boundary import BoundaryScore, boundary_counts
from lexiseg.metrics.confusion import (
    ConfusionMatrix,
    confusion,
    draw_weights,
    interval,
    resample,
    resample_iou,
)
from lexiseg.metrics.edits import gradient_histogram, psnr, texture_distance
from lexiseg.metrics.sets import Kid, clip_score, fid, frechet_distance, kid

__all__ = [
    "BoundaryScore",
    "ConfusionMatrix",
    "Kid",
    "boundary_counts",
    "clip_score",
    "confusion",
    "draw_weights",
    "fid",
    "frechet_distance",
    "gradient_histogram",
    "interval",
    "kid",
    "psnr",
    "resample",
    "resample_iou",
    "texture_distance",
]
