"""What must go for words to be gone: more than their outlines, for what is left over shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lexiseg.results import Segmentation

__all__ = ["all_of"]

_BEHIND = 0.3  # of what scores higher; with 0 the tips of things stay


def all_of(seg: Segmentation, words: str | Sequence[str]) -> NDArray[np.bool_]:
    """Return all that must go for the words to be gone, (H, W) bool.

    These are their pixels in the label map, and where the result kept the score map behind it, also
    what hangs together with them and scored nearly as high for the words, all together, as for any
    other word and for nothing: a mask model may have left out a wing that the map had seen, and a
    hole in which a rest of the thing stays is worse than one that is a little too large.

    Raises WordNotAsked for a word that was not asked for.
    """
    import cv2

    chosen = [seg.index(word) for word in ([words] if isinstance(words, str) else words)]
    sure = np.isin(seg.semantic(), chosen)
    if seg.score_map is None or not sure.any():
        return sure
    grid = seg.score_map.grid.astype(np.float32)
    own = grid[chosen].sum(0)
    nothing = 1 - grid.sum(0)
    others = np.delete(grid, chosen, axis=0).max(0, initial=0.0)
    lead = own - np.maximum(others, nothing)
    likely = cv2.resize(lead, sure.shape[::-1], interpolation=cv2.INTER_LINEAR) > -_BEHIND
    count, parts = cv2.connectedComponents((sure | likely).view(np.uint8), connectivity=8)
    touched = np.zeros(count, np.bool_)
    touched[parts[sure]] = True
    out: NDArray[np.bool_] = touched[parts] & (sure | likely)
    return out
