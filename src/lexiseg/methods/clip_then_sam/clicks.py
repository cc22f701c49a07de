"""Points and boxes alone: a mask for each, or one mask that all of them correct."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lexiseg.errors import PromptError
from lexiseg.methods._base import StageTimer
from lexiseg.results import PromptSummary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lexiseg.masks import Masks
    from lexiseg.prompts import Clicks
    from lexiseg.protocols import Masker, MaskState, View
    from lexiseg.results import Provenance, Segmentation

__all__ = ["refine_mask", "segment_clicks"]


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


def refine_mask(
    masker: Masker,
    view: View[Any],
    state: MaskState,
    clicks: Clicks,
    before: Masks | None,
    provenance: Provenance,
) -> Segmentation:
    """Return the one mask that all clicks mean together, "mask".

    before: the mask that they correct, exactly one. Its own box stands in for one that is missing.
    """
    from lexiseg.masks import Masks
    from lexiseg.results import Segmentation
    from lexiseg.stages.mask_prompting import decode_together
    from lexiseg.stages.mask_upsampling import upsample_masks

    size_hw = view.picture.size_hw
    if before is not None and (before.size_hw != size_hw or len(before) != 1):
        raise PromptError(
            f"the mask to correct is {len(before)} masks of {before.size_hw}; give one of {size_hw}"
        )
    if not (clicks or (before is not None and before.areas[0])):
        raise PromptError("there is nothing to go by; give a point, a box or a mask")
    timer = StageTimer(view.seconds)
    with timer("decode"):
        raw = decode_together(masker, state, clicks, before)
    with timer("instances"):
        drawn = upsample_masks(raw).union()
        if before is not None:
            drawn = _keep_far(before.union(), drawn, clicks)
        masks = Masks.from_dense(drawn[None])
        masks = masks[np.flatnonzero(masks.areas)]
    quality = raw.quality.float().clamp(0, 1).cpu().numpy()[: len(masks)]
    return Segmentation(
        words=("mask",),
        labels=np.array(["mask"] * len(masks), np.str_),
        scores=quality,
        quality=quality,
        masks=masks,
        label_map=np.where(drawn, 0, -1).astype(np.int16),
        word_scores=quality if len(masks) else np.zeros(1, np.float32),
        provenance=replace(
            provenance, prompts=PromptSummary(num_prompts=1, points_xy=clicks.points_xy)
        ).with_seconds(timer.seconds),
    )


def _keep_far(
    before: NDArray[np.bool_], drawn: NDArray[np.bool_], clicks: Clicks
) -> NDArray[np.bool_]:
    """Of what a correction would change, the connected parts that a click or the box asks for."""
    import cv2

    changed = before != drawn
    count, parts = cv2.connectedComponents(changed.astype(np.uint8))
    wanted = np.zeros(count, np.bool_)
    for value, places in ((True, clicks.points_xy), (False, clicks.not_points_xy)):
        for x, y in places:
            row, column = int(y), int(x)
            wanted[parts[row, column]] |= bool(drawn[row, column] == value)
    for x0, y0, x1, y1 in clicks.boxes_xyxy:
        wanted[np.unique(parts[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))])] = True
    wanted[0] = False
    return np.where(wanted[parts], drawn, before)
