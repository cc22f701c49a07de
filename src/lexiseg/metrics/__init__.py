"""How well label maps, masks and proposals agree with the truth, and how good edits are.

Each measure is a function of one photo's counts and a class that sums them over a set.
"""

from __future__ import annotations

from lexiseg.metrics.boundary import (
    BoundaryIoU,
    BoundaryScore,
    boundary_band,
    boundary_counts,
    boundary_iou_counts,
)
from lexiseg.metrics.class_scores import (
    Averages,
    BaseNovel,
    ClassScores,
    base_novel,
    class_scores,
    frequency_weighted_iou,
    pooled,
)
from lexiseg.metrics.confusion import (
    ConfusionMatrix,
    confusion,
    draw_weights,
    interval,
    resample,
    resample_iou,
)
from lexiseg.metrics.edits import (
    gradient_histogram,
    psnr,
    seam,
    texture_distance,
    texture_gap,
)
from lexiseg.metrics.few_shot import FewShotMetrics, FewShotScores, episode_counts, mean_of_folds
from lexiseg.metrics.fixed_interval import (
    FixedIntervalMetrics,
    FixedIntervalScores,
    mean_scores_of,
    threshold_counts,
)
from lexiseg.metrics.instances import InstanceMetrics, InstanceScores
from lexiseg.metrics.phrases import PhraseCutMetrics, PhraseCutScores
from lexiseg.metrics.sets import Kid, clip_score, fid, frechet_distance, kid
from lexiseg.metrics.video import (
    VideoMetrics,
    VideoScores,
    contour_accuracy,
    region_similarity,
)

__all__ = [
    "Averages",
    "BaseNovel",
    "BoundaryIoU",
    "BoundaryScore",
    "ClassScores",
    "ConfusionMatrix",
    "FewShotMetrics",
    "FewShotScores",
    "FixedIntervalMetrics",
    "FixedIntervalScores",
    "InstanceMetrics",
    "InstanceScores",
    "Kid",
    "PhraseCutMetrics",
    "PhraseCutScores",
    "VideoMetrics",
    "VideoScores",
    "base_novel",
    "boundary_band",
    "boundary_counts",
    "boundary_iou_counts",
    "class_scores",
    "clip_score",
    "confusion",
    "contour_accuracy",
    "draw_weights",
    "episode_counts",
    "fid",
    "frechet_distance",
    "frequency_weighted_iou",
    "gradient_histogram",
    "interval",
    "kid",
    "mean_of_folds",
    "mean_scores_of",
    "pooled",
    "psnr",
    "region_similarity",
    "resample",
    "resample_iou",
    "seam",
    "texture_distance",
    "texture_gap",
    "threshold_counts",
]
