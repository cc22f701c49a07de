"""Points and boxes alone: each asks for one mask, which is named after it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexiseg.methods.clip_then_sam.view import View
    from lexiseg.prompts import Clicks
    from lexiseg.protocols import Masker
    from lexiseg.results import Segmentation

__all__ = ["segment_clicks"]


def segment_clicks(
    masker: Masker, view: View, clicks: Clicks, facts: dict[str, Any]
) -> Segmentation:
    """Return a mask for each point and box, "point 1", "box 1".

    Where masks overlap, the label map shows the smallest; the masks themselves stay whole. There is
    no word that they could match better or worse: scores are the mask model's quality.
    """
    import numpy as np

    from lexiseg.results import Provenance, Segmentation
    from lexiseg.stages.mask_upsampling import upsample_masks
    from lexiseg.stages.merge import resolve
    from lexiseg.stages.prompt_decoding import decode_clicks

    started = time.perf_counter()
    raw = decode_clicks(
        masker, view.state, clicks.points_xy, clicks.boxes_xyxy, clicks.not_points_xy
    )
    asked = time.perf_counter()
    masks = upsample_masks(raw)
    kept = np.flatnonzero(masks.areas > 0)
    masks = masks[kept]
    label_map = np.full(view.picture.size_hw, -1, np.int16)
    resolve(label_map, masks, kept, -masks.areas.astype(np.float64))
    quality = raw.quality.float().clamp(0, 1).cpu().numpy()
    scores = np.zeros(len(clicks.names), np.float32)
    shown = np.unique(label_map[label_map >= 0])
    scores[shown] = quality[shown]
    seconds = dict(view.seconds) | {
        "masks": asked - started,
        "lift": time.perf_counter() - asked,
    }
    prompts = {
        "asked": len(clicks.names),
        **facts["prompts"],
        "points_xy": [list(p) for p in clicks.points_xy],
    }
    return Segmentation(
        words=clicks.names,
        labels=np.array([clicks.names[i] for i in kept], np.str_),
        scores=quality[kept],
        quality=quality[kept],
        masks=masks,
        label_map=label_map,
        word_scores=scores,
        image=view.picture.rgb,
        provenance=Provenance(
            **{**facts, "prompts": prompts}, seconds=seconds, notes=view.picture.notes
        ),
    )
