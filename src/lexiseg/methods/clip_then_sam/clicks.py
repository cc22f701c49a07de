"""Points and boxes alone: each prompts for one mask, which is named after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lexiseg.methods._base import StageTimer
from lexiseg.results import PromptSummary

if TYPE_CHECKING:
    from lexiseg.prompts import Clicks
    from lexiseg.protocols import Masker, MaskState, View
    from lexiseg.results import Provenance, Segmentation

__all__ = ["segment_clicks"]


def segment_clicks(
    masker: Masker, view: View[Any], state: MaskState, clicks: Clicks, provenance: Provenance
) -> Segmentation:
    """Return a mask for each point and box, "point 1", "box 1".

    Where masks overlap, the label map shows the smallest; the masks themselves stay whole. There is
    no word that they could match better or worse: scores are the mask model's quality.
    """
    from lexiseg.results import Segmentation
    from lexiseg.stages.mask_prompting import decode_clicks
    from lexiseg.stages.mask_upsampling import upsample_masks
    from lexiseg.stages.painting import paint

    timer = StageTimer(view.seconds)
    with timer("decode"):
        raw = decode_clicks(
            masker, state, clicks.points_xy, clicks.boxes_xyxy, clicks.not_points_xy
        )
    with timer("instances"):
        masks = upsample_masks(raw)
        kept = np.flatnonzero(masks.areas > 0)
        masks = masks[kept]
        blank = np.full(view.picture.size_hw, -1, np.int16)
        label_map = paint(blank, masks, kept, -masks.areas.astype(np.float64))
    quality = raw.quality.float().clamp(0, 1).cpu().numpy()
    scores = np.zeros(len(clicks.names), np.float32)
    shown = np.unique(label_map[label_map >= 0])
    scores[shown] = quality[shown]
    prompts = PromptSummary(
        num_prompts=len(clicks.names),
        grid_size=provenance.prompts.grid_size if provenance.prompts else None,
        points_xy=clicks.points_xy,
    )
    return Segmentation(
        words=clicks.names,
        labels=np.array([clicks.names[i] for i in kept], np.str_),
        scores=quality[kept],
        quality=quality[kept],
        masks=masks,
        label_map=label_map,
        word_scores=scores,
        provenance=replace(provenance, prompts=prompts).with_seconds(timer.seconds),
    )
