"""The paper's measures on held-out photos: words as prompts, whole pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from lexiseg.metrics.fixed_interval import FixedIntervalMetrics
from lexiseg.protocols import PromptedModel
from lexiseg.training.clipseg.phrases import PhraseSet
from lexiseg.training.clipseg.recipe import ClipSegRecipe

__all__ = ["validate"]


@torch.inference_mode()
def validate(
    model: PromptedModel, sets: Sequence[PhraseSet], recipe: ClipSegRecipe
) -> dict[str, float]:
    """Return AP, foreground IoU and mean IoU at fixed thresholds, over phrases that are there."""
    from lexiseg import imaging

    metrics = FixedIntervalMetrics()
    shots = [(s, shot) for s in sets for shot in s.shots]
    for one, shot in shots[:: max(1, len(shots) // recipe.val_photos)]:
        rgb = imaging.read(shot.path).rgb
        size_hw = (rgb.shape[0], rgb.shape[1])
        seen = model.encode(rgb)
        maps = model.maps(seen, model.words([model.templates[0].format(p) for p in shot.phrases]))
        full = F.interpolate(maps[None], size_hw, mode="bilinear", align_corners=False)[0]
        counted = None if shot.ignored is None else ~shot.ignored(size_hw)
        for phrase, probability in zip(shot.phrases, full.sigmoid().cpu().numpy(), strict=True):
            truth = shot.mask(phrase, size_hw)
            metrics.add(probability, truth, f"{one.name}/{phrase}", counted)
    found = metrics.compute()
    return {
        "ap": found.ap, "fg_iou_0.3": found.fg_iou_at(0.3), "fg_iou_0.5": found.fg_iou_at(0.5),
        "mean_iou_0.3": found.mean_iou_at(0.3), "best_fg_iou": max(found.fg_iou),
    }  # fmt: skip
