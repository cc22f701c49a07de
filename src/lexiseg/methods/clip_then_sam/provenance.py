"""What a result says of how it was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lexiseg.methods.clip_then_sam.config import Config
    from lexiseg.prompts import Clicks
    from lexiseg.stages.prompt_decoding import PromptBatch
    from lexiseg.stages.regions import Regions

__all__ = ["prompts_provenance", "remark"]


def prompts_provenance(
    request: PromptBatch, clicks: Clicks, facts: dict[str, Any]
) -> dict[str, Any]:
    """Return what the provenance says of prompts; points are rounded to a tenth of a pixel."""
    places = request.prompts.points_xy
    points = [] if places is None else (places[:, 0].double().numpy() - 0.5).round(1).tolist()
    asked = len(request) + len(clicks.names)
    return {"asked": asked, **facts, "points_xy": [*points, *map(list, clicks.points_xy)]}


def remark(
    regions: Regions,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.integer],
    words: tuple[str, ...],
    config: Config,
) -> tuple[str, ...]:
    """Return a note for the case that no region was good enough to ask at."""
    if len(regions):
        return ()
    line = (
        f"no region of {config.min_region_size} pixels or more scores at least "
        f"{config.region_threshold:g}, so no mask was asked for"
    )
    if (labels >= 0).any():
        place = int(np.where(labels >= 0, probabilities, -1).argmax())
        best = words[int(labels.flat[place])]
        score = probabilities.flat[place]
        line += f"; the best score is {score:.2f}, of {best!r}: lower --min-confidence"
    return (line,)
