"""How well label maps agree with the truth, over a whole data set, with intervals over photos."""

from __future__ import annotations

from lexiseg.metrics.bootstrap import draw_weights, interval, resample, resample_iou
from lexiseg.metrics.boundary import BoundaryScore, boundary_counts
from lexiseg.metrics.confusion import ConfusionMatrix, confusion

__all__ = [
    "BoundaryScore",
    "ConfusionMatrix",
    "boundary_counts",
    "confusion",
    "draw_weights",
    "interval",
    "resample",
    "resample_iou",
]
