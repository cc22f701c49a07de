"""Pictures for people: overlays with a legend, heat maps, cut-outs, and what a method looked at."""

from __future__ import annotations

from lexiseg.visualize.cutout import cutout
from lexiseg.visualize.everything import all_masks, segmented
from lexiseg.visualize.heatmap import heatmap
from lexiseg.visualize.looked_at import looked_at
from lexiseg.visualize.overlay import overlay
from lexiseg.visualize.palette import palette

__all__ = ["all_masks", "cutout", "heatmap", "looked_at", "overlay", "palette", "segmented"]
